//! Many short connections between client and server namespace, closed in different ways, as fast as asked for.
//!
//! At most one data segment in a row goes either way, so that nothing on the path can merge segments.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    netns::{Family, Network},
    sys, tier,
};

/// First port of the listeners; one for each worker.
const FIRST_PORT: u16 = 7001;
/// Nobody listens here.
const REFUSED_PORT: u16 = 6999;
const WORKERS: u16 = 4;
/// Connections besides those that [`play`] tells of: one for each worker, by which its listener learns that it is over.
pub const WAKING: u64 = WORKERS as u64;
/// No single step of a connection takes longer, unless it is stuck.
const STUCK: Duration = Duration::from_secs(5);

/// What was done.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Played {
    /// Closed by two FINs, the client's first.
    pub client_fin: u64,
    /// Closed by two FINs, the server's first.
    pub server_fin: u64,
    /// Aborted by the client after its request was answered.
    pub client_rst: u64,
    /// Aborted by the server after it read the request.
    pub server_rst: u64,
    /// Refused.
    pub refused: u64,
}

impl Played {
    /// All of them.
    pub fn connections(&self) -> u64 {
        self.client_fin + self.server_fin + self.client_rst + self.server_rst + self.refused
    }

    fn add(&mut self, other: Self) {
        self.client_fin += other.client_fin;
        self.server_fin += other.server_fin;
        self.client_rst += other.client_rst;
        self.server_rst += other.server_rst;
        self.refused += other.refused;
    }
}

/// Connects and closes for `duration`, at `rate` connections per second or as fast as it goes, whichever is less.
///
/// # Errors
/// When a connection ends otherwise than it should.
///
/// # Panics
/// When a worker does.
pub fn play(network: &Network, duration: Duration, rate: u32) -> io::Result<Played> {
    let stop = Arc::new(AtomicBool::new(false));
    let listeners: Vec<TcpListener> = network
        .server
        .enter(|| (0..WORKERS).map(|worker| TcpListener::bind((Family::V4.server(), FIRST_PORT + worker))).collect())?;
    let servers: Vec<_> = listeners
        .into_iter()
        .map(|listener| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || serve(&listener, &stop))
        })
        .collect();
    let played = network.client.enter(|| clients(duration, rate / u32::from(WORKERS)));
    stop.store(true, Ordering::Relaxed);
    // Wakes those that wait in `accept`. What they say is of no interest when the clients failed.
    let woken = network.client.enter(|| {
        (0..WORKERS).try_for_each(|worker| TcpStream::connect((Family::V4.server(), FIRST_PORT + worker)).map(drop))
    });
    for server in servers {
        server.join().expect("a server panicked")?;
    }
    woken.and(played)
}

fn serve(listener: &TcpListener, stop: &AtomicBool) -> io::Result<()> {
    loop {
        let (mut stream, _) = listener.accept()?;
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
        stream.set_read_timeout(Some(tier::patient(STUCK)))?;
        let mut request = [0];
        stream.read_exact(&mut request)?;
        match request[0] {
            CLIENT_FIN => {
                stream.write_all(b"answer")?;
                stream.read_to_end(&mut vec![])?;
            }
            SERVER_FIN => {
                stream.write_all(b"answer")?;
                stream.shutdown(Shutdown::Write)?;
                stream.read_to_end(&mut vec![])?;
            }
            CLIENT_RST => {
                stream.write_all(b"answer")?;
                expect_reset(&mut stream)?;
            }
            _ => sys::abort_on_close(&stream)?,
        }
    }
}

const CLIENT_FIN: u8 = 0;
const SERVER_FIN: u8 = 1;
const CLIENT_RST: u8 = 2;
const SERVER_RST: u8 = 3;

fn clients(duration: Duration, rate: u32) -> io::Result<Played> {
    let end = Instant::now() + duration;
    let workers: Vec<_> = (0..WORKERS)
        .map(|worker| {
            let namespace_of_this_thread = move || {
                let mut played = Played::default();
                let begin = Instant::now();
                for number in 0.. {
                    let due = begin + Duration::from_secs(1) * number / rate;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    if Instant::now() >= end {
                        break;
                    }
                    connect(FIRST_PORT + worker, number, &mut played)?;
                }
                Ok(played)
            };
            // A new thread begins in the namespace of the one that starts it.
            thread::spawn(namespace_of_this_thread)
        })
        .collect();
    let mut sum = Played::default();
    for worker in workers {
        let played: io::Result<Played> = worker.join().expect("a client panicked");
        sum.add(played?);
    }
    Ok(sum)
}

fn connect(port: u16, number: u32, played: &mut Played) -> io::Result<()> {
    let way = (number % 5) as u8;
    if way > SERVER_RST {
        let refused = TcpStream::connect(SocketAddr::new(Family::V4.server(), REFUSED_PORT));
        return match refused {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                played.refused += 1;
                Ok(())
            }
            Err(error) => Err(error),
            Ok(_) => Err(io::Error::other("a port without listener accepted")),
        };
    }
    let mut stream = TcpStream::connect(SocketAddr::new(Family::V4.server(), port))?;
    stream.set_read_timeout(Some(tier::patient(STUCK)))?;
    stream.write_all(&[way])?;
    if way == SERVER_RST {
        expect_reset(&mut stream)?;
        played.server_rst += 1;
        return Ok(());
    }
    stream.read_exact(&mut [0; 6])?;
    match way {
        CLIENT_FIN => {
            stream.shutdown(Shutdown::Write)?;
            stream.read_to_end(&mut vec![])?;
            played.client_fin += 1;
        }
        SERVER_FIN => {
            stream.read_to_end(&mut vec![])?;
            played.server_fin += 1;
        }
        _ => {
            sys::abort_on_close(&stream)?;
            played.client_rst += 1;
        }
    }
    Ok(())
}

fn expect_reset(stream: &mut TcpStream) -> io::Result<()> {
    match stream.read(&mut [0]) {
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(io::Error::other("the peer did not reset")),
    }
}
