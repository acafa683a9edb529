//! Forged resets: what they look like, and what only looks like them: kinds of conversations, written with chance.
//!
//! The forged kinds follow what is known of injectors (Weaver, Sommer, Paxson, NDSS 2009; RFC 5961 for off-path
//! guessing): on the path they know every number and lose only the race; off the path they guess. The benign kinds are
//! what false alarms are made of.

use super::dialogue::{CLIENT, Dialogue, Forgery, SERVER};

/// A kind of conversation.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Short name.
    pub name: &'static str,
    /// What is known of it.
    pub truth: Truth,
    /// Writes what follows the handshake and a few exchanges.
    pub write: fn(&mut Dialogue),
}

/// A kind that is written from its first segment on.
pub const OPENINGS: &[Kind] = &[
    Kind {
        name: "on path, SYN refused in the server's name, server accepts",
        truth: Truth::Forged,
        write: refused_falsely,
    },
    Kind { name: "refused, tried again, accepted", truth: Truth::Benign, write: tried_again },
];

/// What is to be said of a kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Truth {
    /// Somebody forged an RST, and it shows.
    Forged,
    /// Somebody forged an RST, and packets alone do not show it: stated, not asserted.
    Invisible(&'static str),
    /// Nobody forged anything.
    Benign,
    /// A device did it openly; an alarm is as right as none: stated, not asserted.
    Device(&'static str),
}

/// All kinds.
pub const KINDS: &[Kind] = &[
    Kind { name: "on path, one side, other TTL, sender goes on", truth: Truth::Forged, write: one_side },
    Kind {
        name: "on path, one side, other TTL, abort form, sender silent",
        truth: Truth::Forged,
        write: abort_form_silent,
    },
    Kind { name: "on path, one side, same TTL, sender goes on", truth: Truth::Forged, write: one_side_same_ttl },
    Kind { name: "on path, both sides, other TTL", truth: Truth::Forged, write: both_sides },
    Kind { name: "on path, burst of climbing numbers to both sides", truth: Truth::Forged, write: burst },
    Kind { name: "on path, lost the race: behind the data", truth: Truth::Forged, write: late },
    Kind { name: "off path, guesses across the window, in vain", truth: Truth::Forged, write: guesses },
    Kind { name: "off path, guesses, TTL adjusted, in vain", truth: Truth::Forged, write: adjusted_guesses },
    Kind { name: "off path, one guess, challenged, in vain", truth: Truth::Forged, write: challenged_in_vain },
    Kind {
        name: "on path, both sides, same TTL, no timestamps",
        truth: Truth::Invisible("two aborts at once with another stack's header: both applications may have done it"),
        write: both_sides_same_ttl,
    },
    Kind {
        name: "on path, one side, other TTL, reply form, sender silent",
        truth: Truth::Invisible("hosts whose sockets have a TTL of their own reply with their default one"),
        write: reply_form_silent,
    },
    Kind {
        name: "perfect copy, sender silent",
        truth: Truth::Invisible("TTL, identification, timestamps and number are the sender's own"),
        write: perfect,
    },
    Kind { name: "Linux abort", truth: Truth::Benign, write: linux_abort },
    Kind {
        name: "abort without timestamps, counter goes on (Windows style)",
        truth: Truth::Benign,
        write: windows_abort,
    },
    Kind { name: "abort without ACK, random identification (macOS style)", truth: Truth::Benign, write: macos_abort },
    Kind { name: "abort after a route change of one hop", truth: Truth::Benign, write: one_hop },
    Kind { name: "abort after a route change of three hops", truth: Truth::Benign, write: three_hops },
    Kind { name: "data after close, Linux reply", truth: Truth::Benign, write: data_after_close },
    Kind { name: "keep-alive race", truth: Truth::Benign, write: keep_alive_race },
    Kind { name: "client aborts a download, replies to the rest", truth: Truth::Benign, write: download_aborted },
    Kind {
        name: "reply with the host's default TTL, sockets have another",
        truth: Truth::Benign,
        write: other_default_ttl,
    },
    Kind { name: "RST after both FINs", truth: Truth::Benign, write: after_close },
    Kind { name: "late duplicate of data after an abort", truth: Truth::Benign, write: late_duplicate },
    Kind { name: "last data overtaken by the abort", truth: Truth::Benign, write: overtaken },
    Kind { name: "both applications abort at once", truth: Truth::Benign, write: both_abort },
    Kind { name: "inexact RST, challenged and confirmed", truth: Truth::Benign, write: challenge_confirmed },
    Kind { name: "server restarted", truth: Truth::Benign, write: restarted },
    Kind { name: "load balancer forgets an idle connection, other TTL", truth: Truth::Benign, write: idle_device },
    Kind { name: "reuse of the ports after an abort", truth: Truth::Benign, write: reuse },
    Kind {
        name: "load balancer resets a busy connection, other TTL",
        truth: Truth::Device("a device resets in the host's name: that is what injection means, with leave or without"),
        write: busy_device,
    },
];

/// An RST in the server's name with the right number, by somebody else.
fn foreign(dialogue: &mut Dialogue, named: usize) -> Forgery {
    let own = dialogue.hosts[named].ttl;
    // At least two hops off: one hop is within the tolerance, and is counted as a miss elsewhere.
    let ttl = if dialogue.dice.chance(50) {
        own.saturating_sub(2 + dialogue.dice.below(20) as u8)
    } else {
        own + 2 + dialogue.dice.below(60) as u8
    };
    let ip_id = dialogue.dice.next() as u16 | 1;
    let ack = dialogue.dice.chance(50);
    Forgery { named, offset: 0, ack, ttl, ip_id, timestamps: false, window: 0 }
}

/// The named host knows nothing and goes on; the other answers as a host without connection does.
fn goes_on(dialogue: &mut Dialogue, named: usize) {
    for _ in 0..=dialogue.dice.below(2) {
        dialogue.wait(dialogue.round_trip / 2);
        dialogue.send(named, 800);
        dialogue.wait(100);
        let asked = dialogue.hosts[1 - named].next;
        dialogue.reply(1 - named, asked);
    }
}

fn refused_falsely(dialogue: &mut Dialogue) {
    dialogue.syn();
    dialogue.wait(dialogue.round_trip / 4);
    let ttl = foreign(dialogue, SERVER).ttl;
    dialogue.refuse(ttl);
    dialogue.wait(dialogue.round_trip / 4);
    dialogue.syn_ack();
    // The client's host knows of no attempt any more.
    let asked = dialogue.hosts[CLIENT].next;
    dialogue.reply(CLIENT, asked);
}

fn tried_again(dialogue: &mut Dialogue) {
    dialogue.syn();
    dialogue.wait(dialogue.round_trip / 2);
    let ttl = dialogue.hosts[SERVER].ttl;
    dialogue.refuse(ttl);
    dialogue.wait(1_000_000);
    dialogue.hosts[CLIENT].next = dialogue.hosts[CLIENT].next.wrapping_add(77_000);
    dialogue.handshake();
    dialogue.exchange();
    dialogue.fin(CLIENT);
    dialogue.fin(SERVER);
    dialogue.acknowledge(CLIENT);
}

fn one_side(dialogue: &mut Dialogue) {
    let forgery = foreign(dialogue, SERVER);
    dialogue.forge(forgery);
    goes_on(dialogue, SERVER);
}

fn abort_form_silent(dialogue: &mut Dialogue) {
    let forgery = foreign(dialogue, SERVER);
    dialogue.forge(Forgery { ack: true, window: 500, ..forgery });
}

fn reply_form_silent(dialogue: &mut Dialogue) {
    let forgery = foreign(dialogue, SERVER);
    dialogue.forge(Forgery { ack: false, ..forgery });
}

fn one_side_same_ttl(dialogue: &mut Dialogue) {
    let ttl = dialogue.hosts[SERVER].ttl;
    let forgery = Forgery { ttl, ..foreign(dialogue, SERVER) };
    dialogue.forge(forgery);
    goes_on(dialogue, SERVER);
}

fn both_sides(dialogue: &mut Dialogue) {
    let (first, second) = (foreign(dialogue, SERVER), foreign(dialogue, CLIENT));
    dialogue.forge(first);
    dialogue.forge(second);
}

fn both_sides_same_ttl(dialogue: &mut Dialogue) {
    for named in [SERVER, CLIENT] {
        let ttl = dialogue.hosts[named].ttl;
        let forgery = Forgery { ttl, ..foreign(dialogue, named) };
        dialogue.forge(forgery);
    }
}

fn burst(dialogue: &mut Dialogue) {
    for named in [SERVER, CLIENT] {
        let forgery = foreign(dialogue, named);
        for offset in [0, 1460, 4380] {
            let ip_id = dialogue.dice.next() as u16 | 1;
            dialogue.forge(Forgery { offset, ip_id, ..forgery });
        }
    }
}

fn late(dialogue: &mut Dialogue) {
    dialogue.send(SERVER, 1000);
    let forgery = Forgery { offset: -1000, ack: true, window: 500, ..foreign(dialogue, SERVER) };
    dialogue.forge(forgery);
    dialogue.wait(dialogue.round_trip);
    dialogue.acknowledge(CLIENT);
    dialogue.exchange();
}

fn guesses(dialogue: &mut Dialogue) {
    let forgery = foreign(dialogue, SERVER);
    guess(dialogue, forgery);
}

fn adjusted_guesses(dialogue: &mut Dialogue) {
    let ttl = dialogue.hosts[SERVER].ttl;
    let forgery = Forgery { ttl, ..foreign(dialogue, SERVER) };
    guess(dialogue, forgery);
}

fn guess(dialogue: &mut Dialogue, forgery: Forgery) {
    for step in 1..6 {
        let offset = step * 9000 + dialogue.dice.below(1000) as i32;
        dialogue.forge(Forgery { offset, ack: false, ..forgery });
        dialogue.wait(50);
        // RFC 5961: in the window and not exact.
        dialogue.acknowledge(CLIENT);
    }
    dialogue.wait(dialogue.round_trip);
    dialogue.exchange();
    dialogue.exchange();
}

fn challenged_in_vain(dialogue: &mut Dialogue) {
    let forgery = foreign(dialogue, SERVER);
    let offset = 100 + dialogue.dice.below(5000) as i32;
    dialogue.forge(Forgery { offset, ack: false, ..forgery });
    dialogue.wait(50);
    dialogue.acknowledge(CLIENT);
    dialogue.wait(dialogue.round_trip);
    dialogue.exchange();
    dialogue.exchange();
}

fn perfect(dialogue: &mut Dialogue) {
    dialogue.abort(SERVER);
}

fn linux_abort(dialogue: &mut Dialogue) {
    let side = dialogue.dice.pick(&[CLIENT, SERVER]);
    dialogue.abort(side);
}

fn windows_abort(dialogue: &mut Dialogue) {
    let side = dialogue.dice.pick(&[CLIENT, SERVER]);
    dialogue.bare_abort(side, true);
}

fn macos_abort(dialogue: &mut Dialogue) {
    let side = dialogue.dice.pick(&[CLIENT, SERVER]);
    dialogue.hosts[side].identification = super::dialogue::Identification::Random;
    dialogue.bare_abort(side, false);
}

fn one_hop(dialogue: &mut Dialogue) {
    dialogue.hosts[SERVER].ttl -= 1;
    dialogue.abort(SERVER);
}

fn three_hops(dialogue: &mut Dialogue) {
    dialogue.hosts[SERVER].ttl -= 3;
    dialogue.abort(SERVER);
}

/// One side has closed; what the other then sends is answered.
fn answered_after_fin(dialogue: &mut Dialogue, pause: u64) {
    dialogue.wait(pause);
    dialogue.fin(SERVER);
    let gap = dialogue.dice.below(dialogue.round_trip);
    dialogue.wait(gap);
    let replied = dialogue.hosts[SERVER].next;
    for _ in 0..=dialogue.dice.below(2) {
        dialogue.send(CLIENT, 300);
    }
    dialogue.wait(dialogue.round_trip / 2);
    dialogue.reply(SERVER, replied);
}

fn data_after_close(dialogue: &mut Dialogue) {
    answered_after_fin(dialogue, 1000);
}

fn keep_alive_race(dialogue: &mut Dialogue) {
    answered_after_fin(dialogue, 5_000_000);
}

fn download_aborted(dialogue: &mut Dialogue) {
    dialogue.send(CLIENT, 100);
    for _ in 0..5 {
        dialogue.send(SERVER, 1000);
    }
    dialogue.abort(CLIENT);
    let asked = dialogue.hosts[CLIENT].next;
    for _ in 0..=dialogue.dice.below(4) {
        dialogue.send(SERVER, 1000);
        dialogue.reply(CLIENT, asked);
    }
}

fn other_default_ttl(dialogue: &mut Dialogue) {
    dialogue.send(CLIENT, 100);
    let (asked, ttl) = (dialogue.hosts[SERVER].next, dialogue.hosts[SERVER].ttl ^ 0x40);
    dialogue.reply_with_ttl(SERVER, asked, ttl);
}

fn after_close(dialogue: &mut Dialogue) {
    dialogue.fin(SERVER);
    dialogue.fin(CLIENT);
    dialogue.wait(dialogue.round_trip);
    let side = dialogue.dice.pick(&[CLIENT, SERVER]);
    let seq = dialogue.hosts[side].next;
    dialogue.reply(side, seq);
}

fn late_duplicate(dialogue: &mut Dialogue) {
    let seq = dialogue.hosts[SERVER].next;
    dialogue.send(SERVER, 1000);
    dialogue.abort(SERVER);
    dialogue.wait(2000);
    dialogue.send_at(SERVER, seq, 1000);
    let asked = dialogue.hosts[CLIENT].next;
    dialogue.reply(CLIENT, asked);
}

fn overtaken(dialogue: &mut Dialogue) {
    let seq = dialogue.hosts[SERVER].next;
    dialogue.hosts[SERVER].next = seq.wrapping_add(1000);
    dialogue.abort(SERVER);
    dialogue.send_at(SERVER, seq, 1000);
}

fn both_abort(dialogue: &mut Dialogue) {
    dialogue.abort(SERVER);
    dialogue.abort(CLIENT);
}

fn challenge_confirmed(dialogue: &mut Dialogue) {
    let (ttl, exact) = (dialogue.hosts[CLIENT].ttl, dialogue.hosts[CLIENT].next);
    dialogue.reply_with_ttl(CLIENT, exact.wrapping_add(10), ttl);
    dialogue.acknowledge(SERVER);
    dialogue.wait(dialogue.round_trip);
    dialogue.reply(CLIENT, exact);
}

fn restarted(dialogue: &mut Dialogue) {
    dialogue.wait(20_000_000);
    dialogue.send(CLIENT, 300);
    dialogue.wait(dialogue.round_trip);
    let asked = dialogue.hosts[SERVER].next;
    dialogue.reply(SERVER, asked);
}

fn idle_device(dialogue: &mut Dialogue) {
    let idle = 60_000_000 + dialogue.dice.below(200_000_000);
    dialogue.wait(idle);
    dialogue.send(CLIENT, 300);
    let (asked, ttl) = (dialogue.hosts[SERVER].next, dialogue.hosts[SERVER].ttl + 5);
    dialogue.reply_with_ttl(SERVER, asked, ttl);
}

fn busy_device(dialogue: &mut Dialogue) {
    dialogue.send(CLIENT, 300);
    let ttl = dialogue.hosts[SERVER].ttl + 5;
    let forgery = Forgery { ttl, ack: true, ..foreign(dialogue, SERVER) };
    dialogue.forge(forgery);
}

fn reuse(dialogue: &mut Dialogue) {
    dialogue.abort(CLIENT);
    dialogue.wait(1_000_000);
    for host in &mut dialogue.hosts {
        host.next = host.next.wrapping_add(0x0100_0000);
    }
    dialogue.handshake();
    dialogue.exchange();
    dialogue.fin(CLIENT);
    dialogue.fin(SERVER);
    dialogue.acknowledge(CLIENT);
}
