//! Forged resets: what they look like, and what only looks like them: kinds of conversations, written with chance.
//!
//! The forged kinds follow what is known of injectors (Weaver, Sommer, Paxson, NDSS 2009; RFC 5961 for off-path
//! guessing): on the path they know every number and lose only the race; off the path they guess. The benign kinds are
//! what false alarms are made of.

use super::talk::{CLIENT, Forgery, SERVER, Talk};

/// A kind of conversation.
#[derive(Clone, Copy)]
pub struct Kind {
    /// Short name.
    pub name: &'static str,
    /// What is known of it.
    pub truth: Truth,
    /// Writes what follows the handshake and a few exchanges.
    pub write: fn(&mut Talk),
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
fn foreign(talk: &mut Talk, named: usize) -> Forgery {
    let own = talk.hosts[named].ttl;
    // At least two hops off: one hop is within the tolerance, and is counted as a miss elsewhere.
    let ttl = if talk.dice.chance(50) {
        own.saturating_sub(2 + talk.dice.below(20) as u8)
    } else {
        own + 2 + talk.dice.below(60) as u8
    };
    let ip_id = talk.dice.next() as u16 | 1;
    let ack = talk.dice.chance(50);
    Forgery { named, offset: 0, ack, ttl, ip_id, timestamps: false, window: 0 }
}

/// The named host knows nothing and goes on; the other answers as a host without connection does.
fn goes_on(talk: &mut Talk, named: usize) {
    for _ in 0..=talk.dice.below(2) {
        talk.wait(talk.round_trip / 2);
        talk.send(named, 800);
        talk.wait(100);
        let asked = talk.hosts[1 - named].next;
        talk.reply(1 - named, asked);
    }
}

fn refused_falsely(talk: &mut Talk) {
    talk.syn();
    talk.wait(talk.round_trip / 4);
    let ttl = foreign(talk, SERVER).ttl;
    talk.refuse(ttl);
    talk.wait(talk.round_trip / 4);
    talk.syn_ack();
    // The client's host knows of no attempt any more.
    let asked = talk.hosts[CLIENT].next;
    talk.reply(CLIENT, asked);
}

fn tried_again(talk: &mut Talk) {
    talk.syn();
    talk.wait(talk.round_trip / 2);
    let ttl = talk.hosts[SERVER].ttl;
    talk.refuse(ttl);
    talk.wait(1_000_000);
    talk.hosts[CLIENT].next = talk.hosts[CLIENT].next.wrapping_add(77_000);
    talk.handshake();
    talk.exchange();
    talk.fin(CLIENT);
    talk.fin(SERVER);
    talk.acknowledge(CLIENT);
}

fn one_side(talk: &mut Talk) {
    let forgery = foreign(talk, SERVER);
    talk.forge(forgery);
    goes_on(talk, SERVER);
}

fn abort_form_silent(talk: &mut Talk) {
    let forgery = foreign(talk, SERVER);
    talk.forge(Forgery { ack: true, window: 500, ..forgery });
}

fn reply_form_silent(talk: &mut Talk) {
    let forgery = foreign(talk, SERVER);
    talk.forge(Forgery { ack: false, ..forgery });
}

fn one_side_same_ttl(talk: &mut Talk) {
    let ttl = talk.hosts[SERVER].ttl;
    let forgery = Forgery { ttl, ..foreign(talk, SERVER) };
    talk.forge(forgery);
    goes_on(talk, SERVER);
}

fn both_sides(talk: &mut Talk) {
    let (first, second) = (foreign(talk, SERVER), foreign(talk, CLIENT));
    talk.forge(first);
    talk.forge(second);
}

fn both_sides_same_ttl(talk: &mut Talk) {
    for named in [SERVER, CLIENT] {
        let ttl = talk.hosts[named].ttl;
        let forgery = Forgery { ttl, ..foreign(talk, named) };
        talk.forge(forgery);
    }
}

fn burst(talk: &mut Talk) {
    for named in [SERVER, CLIENT] {
        let forgery = foreign(talk, named);
        for offset in [0, 1460, 4380] {
            let ip_id = talk.dice.next() as u16 | 1;
            talk.forge(Forgery { offset, ip_id, ..forgery });
        }
    }
}

fn late(talk: &mut Talk) {
    talk.send(SERVER, 1000);
    let forgery = Forgery { offset: -1000, ack: true, window: 500, ..foreign(talk, SERVER) };
    talk.forge(forgery);
    talk.wait(talk.round_trip);
    talk.acknowledge(CLIENT);
    talk.exchange();
}

fn guesses(talk: &mut Talk) {
    let forgery = foreign(talk, SERVER);
    guess(talk, forgery);
}

fn adjusted_guesses(talk: &mut Talk) {
    let ttl = talk.hosts[SERVER].ttl;
    let forgery = Forgery { ttl, ..foreign(talk, SERVER) };
    guess(talk, forgery);
}

fn guess(talk: &mut Talk, forgery: Forgery) {
    for step in 1..6 {
        let offset = step * 9000 + talk.dice.below(1000) as i32;
        talk.forge(Forgery { offset, ack: false, ..forgery });
        talk.wait(50);
        // RFC 5961: in the window and not exact.
        talk.acknowledge(CLIENT);
    }
    talk.wait(talk.round_trip);
    talk.exchange();
    talk.exchange();
}

fn challenged_in_vain(talk: &mut Talk) {
    let forgery = foreign(talk, SERVER);
    let offset = 100 + talk.dice.below(5000) as i32;
    talk.forge(Forgery { offset, ack: false, ..forgery });
    talk.wait(50);
    talk.acknowledge(CLIENT);
    talk.wait(talk.round_trip);
    talk.exchange();
    talk.exchange();
}

fn perfect(talk: &mut Talk) {
    talk.abort(SERVER);
}

fn linux_abort(talk: &mut Talk) {
    let side = talk.dice.pick(&[CLIENT, SERVER]);
    talk.abort(side);
}

fn windows_abort(talk: &mut Talk) {
    let side = talk.dice.pick(&[CLIENT, SERVER]);
    talk.bare_abort(side, true);
}

fn macos_abort(talk: &mut Talk) {
    let side = talk.dice.pick(&[CLIENT, SERVER]);
    talk.hosts[side].identification = super::talk::Identification::Random;
    talk.bare_abort(side, false);
}

fn one_hop(talk: &mut Talk) {
    talk.hosts[SERVER].ttl -= 1;
    talk.abort(SERVER);
}

fn three_hops(talk: &mut Talk) {
    talk.hosts[SERVER].ttl -= 3;
    talk.abort(SERVER);
}

/// One side has closed; what the other then sends is answered.
fn answered_after_fin(talk: &mut Talk, pause: u64) {
    talk.wait(pause);
    talk.fin(SERVER);
    let gap = talk.dice.below(talk.round_trip);
    talk.wait(gap);
    let replied = talk.hosts[SERVER].next;
    for _ in 0..=talk.dice.below(2) {
        talk.send(CLIENT, 300);
    }
    talk.wait(talk.round_trip / 2);
    talk.reply(SERVER, replied);
}

fn data_after_close(talk: &mut Talk) {
    answered_after_fin(talk, 1000);
}

fn keep_alive_race(talk: &mut Talk) {
    answered_after_fin(talk, 5_000_000);
}

fn download_aborted(talk: &mut Talk) {
    talk.send(CLIENT, 100);
    for _ in 0..5 {
        talk.send(SERVER, 1000);
    }
    talk.abort(CLIENT);
    let asked = talk.hosts[CLIENT].next;
    for _ in 0..=talk.dice.below(4) {
        talk.send(SERVER, 1000);
        talk.reply(CLIENT, asked);
    }
}

fn other_default_ttl(talk: &mut Talk) {
    talk.send(CLIENT, 100);
    let (asked, ttl) = (talk.hosts[SERVER].next, talk.hosts[SERVER].ttl ^ 0x40);
    talk.reply_with_ttl(SERVER, asked, ttl);
}

fn after_close(talk: &mut Talk) {
    talk.fin(SERVER);
    talk.fin(CLIENT);
    talk.wait(talk.round_trip);
    let side = talk.dice.pick(&[CLIENT, SERVER]);
    let seq = talk.hosts[side].next;
    talk.reply(side, seq);
}

fn late_duplicate(talk: &mut Talk) {
    let seq = talk.hosts[SERVER].next;
    talk.send(SERVER, 1000);
    talk.abort(SERVER);
    talk.wait(2000);
    talk.send_at(SERVER, seq, 1000);
    let asked = talk.hosts[CLIENT].next;
    talk.reply(CLIENT, asked);
}

fn overtaken(talk: &mut Talk) {
    let seq = talk.hosts[SERVER].next;
    talk.hosts[SERVER].next = seq.wrapping_add(1000);
    talk.abort(SERVER);
    talk.send_at(SERVER, seq, 1000);
}

fn both_abort(talk: &mut Talk) {
    talk.abort(SERVER);
    talk.abort(CLIENT);
}

fn challenge_confirmed(talk: &mut Talk) {
    let (ttl, exact) = (talk.hosts[CLIENT].ttl, talk.hosts[CLIENT].next);
    talk.reply_with_ttl(CLIENT, exact.wrapping_add(10), ttl);
    talk.acknowledge(SERVER);
    talk.wait(talk.round_trip);
    talk.reply(CLIENT, exact);
}

fn restarted(talk: &mut Talk) {
    talk.wait(20_000_000);
    talk.send(CLIENT, 300);
    talk.wait(talk.round_trip);
    let asked = talk.hosts[SERVER].next;
    talk.reply(SERVER, asked);
}

fn idle_device(talk: &mut Talk) {
    let idle = 60_000_000 + talk.dice.below(200_000_000);
    talk.wait(idle);
    talk.send(CLIENT, 300);
    let (asked, ttl) = (talk.hosts[SERVER].next, talk.hosts[SERVER].ttl + 5);
    talk.reply_with_ttl(SERVER, asked, ttl);
}

fn busy_device(talk: &mut Talk) {
    talk.send(CLIENT, 300);
    let ttl = talk.hosts[SERVER].ttl + 5;
    let forgery = Forgery { ttl, ack: true, ..foreign(talk, SERVER) };
    talk.forge(forgery);
}

fn reuse(talk: &mut Talk) {
    talk.abort(CLIENT);
    talk.wait(1_000_000);
    for host in &mut talk.hosts {
        host.next = host.next.wrapping_add(0x0100_0000);
    }
    talk.handshake();
    talk.exchange();
    talk.fin(CLIENT);
    talk.fin(SERVER);
    talk.acknowledge(CLIENT);
}
