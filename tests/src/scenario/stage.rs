//! Stage of a scenario: opens both ends of connections in their namespaces, and puts frames on the wire.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    time::Duration,
};

use super::{Gate, wait_until};
use crate::{
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, ENDPOINT_INTERFACE, Family, NOBODY_MAC, Network, SERVER_MAC},
    sys::Outlet,
    tier,
};

/// No single step of a scenario takes longer; a read that does has found a mistake.
const PATIENCE: Duration = Duration::from_secs(5);

/// The place of one scenario.
#[derive(Debug)]
pub struct Stage<'a> {
    network: &'a Network,
    /// Family of this run.
    pub family: Family,
    /// Port of the server.
    pub port: u16,
    gate: Option<&'a Gate>,
}

/// Both ends of one connection. Dropping an end closes its socket.
#[derive(Debug)]
pub struct Ends {
    /// The end that connected.
    pub client: TcpStream,
    /// The end that accepted.
    pub server: TcpStream,
}

impl<'a> Stage<'a> {
    /// The place of a scenario whose server has `port`.
    pub fn new(network: &'a Network, family: Family, port: u16) -> Self {
        Self { network, family, port, gate: None }
    }

    /// Has every new connection wait at `gate`.
    #[must_use]
    pub fn behind(self, gate: Option<&'a Gate>) -> Self {
        Self { gate, ..self }
    }

    /// Does a piece of work in the client's namespace.
    pub fn at_client<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        self.network.client.enter(work)
    }

    /// Does a piece of work in the server's namespace.
    pub fn at_server<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        self.network.server.enter(work)
    }

    /// Address of the server's port.
    pub fn service(&self) -> SocketAddr {
        (self.family.server(), self.port).into()
    }

    /// Listens on the server's port.
    pub fn listen(&self) -> io::Result<TcpListener> {
        self.listen_at(self.family.server())
    }

    /// Listens on the scenario's port of another address of the server.
    pub fn listen_at(&self, address: IpAddr) -> io::Result<TcpListener> {
        self.network.server.enter(|| TcpListener::bind((address, self.port)))
    }

    /// Listens on another port of the server.
    pub fn listen_at_port(&self, port: u16) -> io::Result<TcpListener> {
        self.network.server.enter(|| TcpListener::bind((self.family.server(), port)))
    }

    /// Connects from the client's namespace, waiting at most `timeout`.
    pub fn dial(&self, to: SocketAddr, timeout: Duration) -> io::Result<TcpStream> {
        self.network.client.enter(|| TcpStream::connect_timeout(&to, timeout))
    }

    /// One established connection to `listener`.
    pub fn meet(&self, listener: &TcpListener) -> io::Result<Ends> {
        let client = self.reach(listener)?;
        let (server, _) = listener.accept()?;
        prepare(&server)?;
        Ok(Ends { client, server })
    }

    /// The same from a given port of the client.
    pub fn meet_from(&self, listener: &TcpListener, port: u16) -> io::Result<Ends> {
        let (from, service) = (SocketAddr::new(self.family.client(), port), self.service());
        let client = self.at_client(|| crate::sys::connect_from(from, service, tier::patient(PATIENCE)))?;
        prepare(&client)?;
        if let Some(gate) = self.gate {
            gate.pass();
        }
        let (server, _) = listener.accept()?;
        prepare(&server)?;
        Ok(Ends { client, server })
    }

    /// A client that `listener` has not accepted yet.
    pub fn reach(&self, listener: &TcpListener) -> io::Result<TcpStream> {
        let client = self.dial(listener.local_addr()?, tier::patient(PATIENCE))?;
        prepare(&client)?;
        if let Some(gate) = self.gate {
            gate.pass();
        }
        Ok(client)
    }

    /// One established connection to the server's port; the listener is gone afterwards.
    pub fn connect(&self) -> io::Result<Ends> {
        self.meet(&self.listen()?)
    }

    /// The same, with a request that was answered.
    pub fn answered(&self) -> io::Result<Ends> {
        let mut ends = self.connect()?;
        ends.ask()?;
        ends.answer()?;
        Ok(ends)
    }

    /// Takes the server's second address away.
    pub fn drop_second_server(&self) -> io::Result<()> {
        self.network.drop_second_server(self.family)
    }

    /// The client as a frame's end.
    pub fn client_station(&self, port: u16) -> Station {
        Station { mac: CLIENT_MAC, ip: self.family.client(), port }
    }

    /// The server's port as a frame's end.
    pub fn server_station(&self) -> Station {
        Station { mac: SERVER_MAC, ip: self.family.server(), port: self.port }
    }

    /// The scenario's port of an address with nobody behind it, as a frame's end.
    pub fn nobody_station(&self) -> Station {
        Station { mac: NOBODY_MAC, ip: self.family.nobody(), port: self.port }
    }

    /// Puts `frame` on the wire from the client's side.
    pub fn send_from_client(&self, frame: &TcpFrame) -> io::Result<()> {
        self.client_outlet()?.send(&frame.bytes()?)
    }

    /// Puts `frame` on the wire from the server's side.
    pub fn send_from_server(&self, frame: &TcpFrame) -> io::Result<()> {
        self.server_outlet()?.send(&frame.bytes()?)
    }

    /// What sends frames from the client's side.
    pub fn client_outlet(&self) -> io::Result<Outlet> {
        self.network.client.enter(|| Outlet::open(ENDPOINT_INTERFACE))
    }

    /// What sends frames from the server's side.
    pub fn server_outlet(&self) -> io::Result<Outlet> {
        self.network.server.enter(|| Outlet::open(ENDPOINT_INTERFACE))
    }
}

impl Ends {
    /// The client asks (100 bytes) and the server reads all of it.
    pub fn ask(&mut self) -> io::Result<()> {
        transfer(&mut self.client, &mut self.server, 100)
    }

    /// The server answers (1,000 bytes) and the client reads all of it.
    pub fn answer(&mut self) -> io::Result<()> {
        transfer(&mut self.server, &mut self.client, 1000)
    }
}

fn prepare(end: &TcpStream) -> io::Result<()> {
    end.set_read_timeout(Some(tier::patient(PATIENCE)))?;
    end.set_write_timeout(Some(tier::patient(PATIENCE)))?;
    end.set_nodelay(true)
}

/// Writes `len` bytes at one end and reads them at the other.
pub(super) fn transfer(from: &mut TcpStream, to: &mut TcpStream, len: usize) -> io::Result<()> {
    from.write_all(&vec![b'x'; len])?;
    to.read_exact(&mut vec![0; len])
}

/// Writes `len` bytes at one end and waits until they lie unread in the other's buffer.
pub(super) fn deliver(from: &mut TcpStream, to: &TcpStream, len: usize) -> io::Result<()> {
    from.write_all(&vec![b'x'; len])?;
    let mut buffer = vec![0; len];
    wait_until("the delivery", || Ok(to.peek(&mut buffer)? == len))
}

/// Waits for the peer's FIN.
///
/// # Errors
/// When there is still data, or the connection was reset.
pub(super) fn expect_fin(end: &mut TcpStream) -> io::Result<()> {
    match end.read(&mut [0; 64])? {
        0 => Ok(()),
        _ => Err(io::Error::other("data where the end was expected")),
    }
}

/// Waits until the peer's RST has arrived; the socket is dead afterwards and closing it sends nothing.
pub(super) fn expect_reset(end: &TcpStream) -> io::Result<()> {
    wait_until("the reset", || Ok(end.take_error()?.is_some()))
}
