//! The host's own traffic is untouched: echoes and a transfer through a watched bridge lose nothing while the probe is
//! started, runs with `--evidence`, and is stopped.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
    time::Duration,
};

use probe_tests::{
    netns::{Family, Network},
    probe::Probe,
    tier::{privileged, say},
};

/// Datagrams a second, about.
const GAP: Duration = Duration::from_millis(2);
const CHUNK: usize = 64 << 10;

/// Answers what is received until told to stop.
fn echo(socket: &UdpSocket, stop: &AtomicBool) -> io::Result<()> {
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let mut bytes = [0; 64];
    while !stop.load(Relaxed) {
        if let Ok((len, from)) = socket.recv_from(&mut bytes) {
            socket.send_to(&bytes[..len], from)?;
        }
    }
    Ok(())
}

/// Asks every [`GAP`] until told to stop; returns how many questions there were, and how many had no answer.
fn ask(socket: &UdpSocket, stop: &AtomicBool) -> io::Result<(u64, u64)> {
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let (mut asked, mut lost) = (0_u64, 0);
    let mut bytes = [0; 8];
    while !stop.load(Relaxed) {
        asked += 1;
        socket.send(&asked.to_be_bytes())?;
        lost += u64::from(socket.recv(&mut bytes).is_err());
        thread::sleep(GAP);
    }
    Ok((asked, lost))
}

/// A server that sends until told to stop, then ends in order.
fn serve(listener: &TcpListener, stop: &AtomicBool) -> io::Result<u64> {
    let (mut stream, _) = listener.accept()?;
    let (mut sent, chunk) = (0, vec![b'.'; CHUNK]);
    while !stop.load(Relaxed) {
        stream.write_all(&chunk)?;
        sent += CHUNK as u64;
        // Not to fill the machine: others test on it, too.
        thread::sleep(Duration::from_millis(1));
    }
    Ok(sent)
}

fn fetch(mut stream: TcpStream) -> io::Result<u64> {
    let mut bytes = vec![0; CHUNK];
    let mut received = 0;
    loop {
        match stream.read(&mut bytes)? {
            0 => return Ok(received),
            len => received += len as u64,
        }
    }
}

#[test]
fn start_run_and_stop_lose_nothing() {
    privileged("inline", "start_run_and_stop_lose_nothing", || {
        let network = Network::build().expect("namespaces");
        let folder = tempfile::tempdir().expect("a folder");
        let server = Family::V4.server();
        let (echoer, listener) = network
            .server
            .enter(|| Ok((UdpSocket::bind((server, 7))?, TcpListener::bind((server, 80))?)))
            .expect("sockets of the server");
        let connect = || {
            let asker = UdpSocket::bind((Family::V4.client(), 0))?;
            asker.connect((server, 7))?;
            Ok((asker, TcpStream::connect((server, 80))?))
        };
        let (asker, stream) = network.client.enter(connect).expect("sockets of the client");
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            let echo = scope.spawn(|| echo(&echoer, &stop));
            let asked = scope.spawn(|| ask(&asker, &stop));
            let sent = scope.spawn(|| serve(&listener, &stop));
            let fetched = scope.spawn(|| fetch(stream));
            thread::sleep(Duration::from_millis(300));
            for _ in 0..2 {
                let words = ["--evidence".into(), folder.path().into(), "--for".into(), "60s".into()];
                let probe = Probe::snapshot(&network.middle, &words).expect("it attaches");
                thread::sleep(Duration::from_secs(1));
                let done = probe.stop().expect("it ends");
                assert!(done.status.success(), "{}", done.stderr);
            }
            thread::sleep(Duration::from_millis(300));
            stop.store(true, Relaxed);
            echo.join().expect("no panic").expect("it echoes");
            let (asked, lost) = asked.join().expect("no panic").expect("it asks");
            let (sent, fetched) = (sent.join().expect("no panic"), fetched.join().expect("no panic"));
            let (sent, fetched) = (sent.expect("it serves"), fetched.expect("it fetches"));
            say(&format!("{lost} of {asked} echoes lost; {fetched} of {sent} bytes fetched"));
            assert!(asked > 500 && sent > 1 << 20, "too little to say anything");
            // The last question may have met the end of the echo.
            assert!(lost <= 1 && fetched == sent);
        });
    });
}
