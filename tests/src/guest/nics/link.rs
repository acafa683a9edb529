//! A pair of cards, each in its namespace, and traffic from the peer to the card under test.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use super::named;
use crate::{conversation::Conversation, frame::Station, netns::Namespace, sys::Outlet, tier};

const PORT: u16 = 8080;
/// Segments of one staged conversation, all from the client: the card receives nothing else.
const SCRIPT: &str = ">S >A >A100 >A100 >FA >A";
/// And how many that are.
pub(super) const SEGMENTS: u64 = 6;
/// Between two frames of a conversation: longer than any queue on their way holds one.
const ROUND: Duration = Duration::from_millis(50);
/// A link that was down takes so long to come back at most.
const CARRIER: Duration = Duration::from_secs(5);

/// The card under test and its peer.
pub(in crate::guest) struct Pair {
    pub(super) near: Namespace,
    pub(super) far: Namespace,
    /// Interface under test.
    pub(super) card: String,
    peer: String,
    macs: [[u8; 6]; 2],
    number: u8,
}

impl Pair {
    /// Moves the cards of pair `number` into namespaces of their own, with addresses; nothing when there is no such card.
    pub(in crate::guest) fn find(number: usize) -> io::Result<Option<Self>> {
        let number = u8::try_from(number).map_err(io::Error::other)?;
        let address = |end: u8| format!("52:54:00:00:{number:02x}:{end:02x}");
        let (Some(card), Some(peer)) = (named(&address(1))?, named(&address(2))?) else { return Ok(None) };
        let (near, far) = (Namespace::create("near")?, Namespace::create("far")?);
        for (namespace, interface, host) in [(&near, &card, 1), (&far, &peer, 2)] {
            crate::netns::ip(&["link", "set", interface, "netns", namespace.name()])?;
            namespace.ip(&format!("link set {interface} addrgenmode none gso_max_segs 1 up"))?;
            namespace.ip(&format!("address add 10.80.{number}.{host}/24 dev {interface}"))?;
        }
        let mac = |end: u8| [0x52, 0x54, 0, 0, number, end];
        let pair = Self { near, far, card, peer, macs: [mac(1), mac(2)], number };
        pair.await_carrier()?;
        Ok(Some(pair))
    }

    fn host(&self, host: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 80, self.number, host)
    }

    /// Waits until both ends have a carrier.
    pub(super) fn await_carrier(&self) -> io::Result<()> {
        let end = Instant::now() + tier::patient(CARRIER);
        loop {
            let up = |namespace: &Namespace, name: &str| namespace.ip(&format!("link show {name}"));
            let (near, far) = (up(&self.near, &self.card)?, up(&self.far, &self.peer)?);
            if [&near, &far].iter().all(|text| text.contains("LOWER_UP")) {
                // Bridges of the host learn, and drivers fill their rings.
                thread::sleep(Duration::from_millis(300));
                return Ok(());
            }
            if Instant::now() > end {
                return Err(io::Error::other(format!("no carrier: {near} {far}")));
            }
            thread::sleep(Duration::from_millis(100));
        }
    }

    /// `count` connections from the peer to the card, each with a byte either way, closed by the client first.
    pub(super) fn connect(&self, count: u64) -> io::Result<()> {
        let address = SocketAddr::from((self.host(1), PORT));
        let listener = self.near.enter(|| TcpListener::bind(address))?;
        let limit = tier::patient(Duration::from_secs(2));
        let serve = || -> io::Result<()> {
            for _ in 0..count {
                let (mut stream, _) = listener.accept()?;
                stream.set_read_timeout(Some(limit))?;
                stream.read_exact(&mut [0])?;
                stream.write_all(b"b")?;
                // Until the client closes.
                stream.read_to_end(&mut vec![])?;
            }
            Ok(())
        };
        let call = || {
            for _ in 0..count {
                let mut stream = TcpStream::connect_timeout(&address, limit)?;
                stream.set_read_timeout(Some(limit))?;
                stream.write_all(b"a")?;
                stream.read_exact(&mut [0])?;
            }
            Ok(())
        };
        thread::scope(|scope| {
            let server = scope.spawn(serve);
            self.far.enter(call)?;
            server.join().map_err(|_| io::Error::other("the server panicked"))?
        })
    }

    /// Frames that are no TCP (EtherType of local experiments), for so long.
    pub(super) fn chatter(&self, time: Duration) -> io::Result<()> {
        let [near, far] = self.macs;
        let mut frame = [&near[..], &far, &[0x88, 0xb5]].concat();
        frame.resize(60, 0);
        let end = Instant::now() + time;
        self.far.enter(|| {
            let outlet = Outlet::open(&self.peer)?;
            while Instant::now() < end {
                outlet.send(&frame)?;
                thread::sleep(Duration::from_millis(100));
            }
            Ok(())
        })
    }

    /// `count` conversations as frames, [`SEGMENTS`] each, written onto the wire by the peer, with a VLAN tag or without: the
    /// first frame of each, then the second of each. On its way a frame passes a queue of whichever CPU of the host QEMU runs
    /// on just then, so that frames which follow each other closely may change places.
    pub(super) fn send(&self, count: u16, first_port: u16, vlan: Option<u16>) -> io::Result<()> {
        let [near, far] = self.macs;
        let mut rounds: Vec<Vec<Vec<u8>>> = vec![vec![]; SEGMENTS as usize];
        for port in first_port..first_port + count {
            let client = Station { mac: far, ip: Ipv4Addr::new(10, 81, 0, 2).into(), port };
            let server = Station { mac: near, ip: Ipv4Addr::new(10, 81, 0, 1).into(), port: 80 };
            let frames = Conversation::new(client, server, [u32::from(port), 0]).frames(SCRIPT)?;
            rounds.iter_mut().zip(frames).for_each(|(round, frame)| round.push(frame));
        }
        if let Some(vlan) = vlan {
            let [high, low] = vlan.to_be_bytes();
            let tag = [0x81, 0, high, low];
            for frame in rounds.iter_mut().flatten() {
                drop(frame.splice(12..12, tag));
            }
        }
        self.far.enter(|| {
            let outlet = Outlet::open(&self.peer)?;
            for round in rounds {
                for burst in round.chunks(16) {
                    burst.iter().try_for_each(|frame| outlet.send(frame))?;
                    // Rings of emulated cards are short, and one machine plays both ends.
                    thread::sleep(Duration::from_millis(5));
                }
                thread::sleep(ROUND);
            }
            Ok(())
        })
    }
}
