//! TCP conversations from a script, down to the frames.
//!
//! A script is a line of words, one per segment: `>` from the client or `<` from the server, then the flags (`S`, `A`,
//! `F`, `R`), then the length of the payload if there is one, then `@` and a distance if the segment is not in sequence.
//! `>S <SA >A >A100 <A >A100@-100 <FA` opens, sends 100 bytes, repeats them, and has the server close. Sequence numbers
//! and acknowledgements follow; a segment out of sequence does not move them on.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use crate::{
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, SERVER_MAC},
    pcap::Random,
};

/// Two ends, and where they are in their sequence spaces.
#[derive(Clone, Debug)]
pub struct Conversation {
    ends: [Station; 2],
    next: [u32; 2],
}

impl Conversation {
    /// Before anything was said.
    pub fn new(client: Station, server: Station, first_sequence_numbers: [u32; 2]) -> Self {
        Self { ends: [client, server], next: first_sequence_numbers }
    }

    /// The frames of `script`.
    ///
    /// # Errors
    /// When a word is none, or the ends are of different families.
    pub fn frames(&mut self, script: &str) -> io::Result<Vec<Vec<u8>>> {
        script.split_whitespace().map(|word| self.frame(word)).collect()
    }

    fn frame(&mut self, word: &str) -> io::Result<Vec<u8>> {
        let unreadable = || io::Error::new(io::ErrorKind::InvalidInput, format!("not a word of a script: {word}"));
        let (from, rest) = match word.split_at_checked(1) {
            Some((">", rest)) => (0, rest),
            Some(("<", rest)) => (1, rest),
            _ => return Err(unreadable()),
        };
        let (rest, shift) = match rest.split_once('@') {
            Some((rest, shift)) => (rest, Some(shift.parse::<i32>().map_err(|_| unreadable())?)),
            None => (rest, None),
        };
        let flags = rest.trim_end_matches(|c: char| c.is_ascii_digit());
        let payload: usize =
            if flags.len() == rest.len() { 0 } else { rest[flags.len()..].parse().map_err(|_| unreadable())? };
        let seq = self.next[from].wrapping_add_signed(shift.unwrap_or(0));
        let mut frame = TcpFrame::new(self.ends[from], self.ends[1 - from], seq).payload(&vec![b'.'; payload]);
        for flag in flags.chars() {
            frame = match flag {
                'S' => frame.syn(),
                'A' => frame.ack(self.next[1 - from]),
                'F' => frame.fin(),
                'R' => frame.rst(),
                _ => return Err(unreadable()),
            };
        }
        if shift.is_none() {
            let controls = flags.matches(['S', 'F']).count();
            self.next[from] = self.next[from].wrapping_add((payload + controls) as u32);
        }
        frame.bytes()
    }
}

/// A way for a conversation to go.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Course {
    /// What happens.
    pub name: &'static str,
    /// How.
    pub script: &'static str,
    /// Zeek's words for its records, when nothing else happens on these addresses and ports.
    pub conn_states: &'static str,
}

const fn course(name: &'static str, script: &'static str, conn_states: &'static str) -> Course {
    Course { name, script, conn_states }
}

/// Conversations closed, or not, in every way.
pub const COURSES: &[Course] = &[
    course("orderly, client first", ">S <SA >A >A120 <A <A900 >A >FA <A <FA >A", "SF"),
    course("orderly, server first", ">S <SA >A >A60 <A70 >A <FA >A >FA <A", "SF"),
    course("three segments to close", ">S <SA >A >A60 <A70 >FA <FA >A", "SF"),
    course("simultaneous close", ">S <SA >A >FA <FA@0 >A <A", "SF"),
    // A second SYN with another sequence number is a new connection for Zeek, whoever sends it.
    course("simultaneous open", ">S <S >SA@-1 <SA@-1 >A <A >A5 <A5 >FA <FA >A", "S0 SF"),
    course("half-closed by the client", ">S <SA >A >A10 <A >FA <A <A500 >A", "S2"),
    course("half-closed by the server", ">S <SA >A >A10 <A <FA >A >A10 <A", "S3"),
    course("still open", ">S <SA >A >A10 <A10 >A", "S1"),
    course("refused", ">S <RA", "REJ"),
    course("refused three times", ">S <RA >S@-1 <RA@0 >S@-1 <RA@0", "REJ REJ REJ"),
    course("never answered", ">S >S@-1 >S@-1", "S0"),
    course("half-open scan", ">S <SA >R", "RSTO"),
    course("withdrawn before an answer", ">S >RA", "RSTOS0"),
    course("answer without question", "<SA", "OTH"),
    course("aborted by the client", ">S <SA >A >A10 <A >RA", "RSTO"),
    course("aborted by the server", ">S <SA >A >A10 <A <RA", "RSTR"),
    course("aborted by the client at once", ">S <SA >A >RA", "RSTO"),
    course("reset with data", ">S <SA >A >A10 <RA20", "RSTR"),
    course("reset after the client's FIN", ">S <SA >A >A10 <A >FA <R", "RSTR"),
    course("reset after the server's FIN", ">S <SA >A >A10 <A <FA >R", "RSTO"),
    course("reset by the closer", ">S <SA >A >A10 <A >FA <A <A100 >R", "RSTO"),
    course("reset after both FINs", ">S <SA >A >FA <FA >A <R", "SF"),
    course("resets after a close", ">S <SA >A >RA >R >R@5 >R@10 >R", "RSTO"),
    course("data after the FIN", ">S <SA >A >FA <A >A20", "S2"),
    course("repeated everything", ">S >S@-1 <SA <SA@-1 >A >A >A10 >A10@-10 <A <A >FA >FA@-1 <FA <FA@-1 >A >A", "SF"),
    course("challenged", ">S <SA >A >A10 <A >R@30000 <A >A10 <A >FA <FA >A", "RSTO"),
    course("keep-alive", ">S <SA >A >A10 <A >A@-1 <A >A@-1 <A >FA <FA >A", "SF"),
    course("lost data", ">S <SA >A >A10@500 <A >FA@510 <FA >A", "SF"),
    course("from the middle", ">A10 <A20 >A", "OTH"),
    course("closed from the middle", ">A10 <A20 >A >FA <FA >A", "SF"),
    course("reset from the middle", ">A10 <A20 >RA", "OTH"),
    course("reset out of nowhere", ">R", "OTH"),
    course("only the client is seen", ">S >A >A10 >FA >A", "SH"),
    course("only the server is seen", "<SA <A10 <FA <A", "SHR"),
];

/// Conversations of which so many go on at the same time.
const AT_ONCE: usize = 64;

/// The frames of `count` conversations, mixed, each on addresses and ports of its own and of a random course. Of some
/// conversations frames are missing or there twice.
///
/// # Errors
/// Never: every course can be told.
pub fn traffic(random: &mut Random, count: u32) -> io::Result<Vec<Vec<u8>>> {
    let mut begun = 0;
    let mut going: Vec<std::vec::IntoIter<Vec<u8>>> = vec![];
    let mut frames = vec![];
    loop {
        while going.len() < AT_ONCE && begun < count {
            let course = random_course(random, begun)?;
            going.push(damaged(random, course).into_iter());
            begun += 1;
        }
        if going.is_empty() {
            return Ok(frames);
        }
        let at = random.below(going.len());
        match going[at].next() {
            Some(frame) => frames.push(frame),
            None => drop(going.swap_remove(at)),
        }
    }
}

fn random_course(random: &mut Random, number: u32) -> io::Result<Vec<Vec<u8>>> {
    const SERVER_PORTS: [u16; 6] = [22, 80, 443, 5000, 8080, 50_001];
    let (client, server): (IpAddr, IpAddr) = if random.once_in(2) {
        (Ipv4Addr::from_bits(0x0a80_0000 | number).into(), Ipv4Addr::new(10, 0, 0, 1).into())
    } else {
        let network = 0xfd00_0000_0000_0000_u128 << 64;
        (Ipv6Addr::from_bits(network | u128::from(number) << 16).into(), Ipv6Addr::from_bits(network | 1).into())
    };
    let port = 1024 + random.below(60_000) as u16;
    let client = Station { mac: CLIENT_MAC, ip: client, port };
    let server = Station { mac: SERVER_MAC, ip: server, port: SERVER_PORTS[random.below(SERVER_PORTS.len())] };
    let first_sequence_numbers = [random.next_u64() as u32, random.next_u64() as u32];
    let course = COURSES[random.below(COURSES.len())];
    Conversation::new(client, server, first_sequence_numbers).frames(course.script)
}

/// One conversation in four is not captured as it was.
fn damaged(random: &mut Random, frames: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    if !random.once_in(4) {
        return frames;
    }
    let mut damaged = vec![];
    for frame in frames {
        match random.below(10) {
            0 => {}
            1 => damaged.extend([frame.clone(), frame]),
            _ => damaged.push(frame),
        }
    }
    damaged
}

#[cfg(test)]
mod tests {
    use etherparse::PacketHeaders;

    use super::*;
    use crate::netns::Family;

    #[test]
    fn numbers_follow_what_was_said() {
        let client = Station { mac: CLIENT_MAC, ip: Family::V4.client(), port: 40_000 };
        let server = Station { mac: SERVER_MAC, ip: Family::V4.server(), port: 80 };
        let mut conversation = Conversation::new(client, server, [100, u32::MAX]);
        let frames = conversation.frames(">S <SA >A >A10 >A10@-10 <FA >R@+0").unwrap();
        let numbers: Vec<(u32, u32, usize)> = frames
            .iter()
            .map(|bytes| {
                let headers = PacketHeaders::from_ethernet_slice(bytes).unwrap();
                let tcp = headers.transport.unwrap().tcp().unwrap();
                (tcp.sequence_number, tcp.acknowledgment_number, headers.payload.slice().len())
            })
            .collect();
        let expected =
            [(100, 0, 0), (u32::MAX, 101, 0), (101, 0, 0), (101, 0, 10), (101, 0, 10), (0, 111, 0), (111, 0, 0)];
        assert_eq!(numbers, expected);
        assert!(conversation.frames(">X").is_err() && conversation.frames("S").is_err());
    }

    #[test]
    fn every_course_can_be_told() {
        let client = Station { mac: CLIENT_MAC, ip: Family::V6.client(), port: 40_000 };
        let server = Station { mac: SERVER_MAC, ip: Family::V6.server(), port: 80 };
        for course in COURSES {
            assert!(Conversation::new(client, server, [1, 2]).frames(course.script).is_ok(), "{}", course.name);
        }
    }
}
