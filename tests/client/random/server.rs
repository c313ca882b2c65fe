//! What the server does, byte by byte.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use dotsock::{Message, MessageType};
use serde_json::json;

use super::{Pending, World};
use crate::common::framed;
use crate::support::{Place, error, malformed};

/// The server's end of a connection.
#[derive(Default)]
pub struct Peer {
    /// None once it is closed.
    stream: Option<UnixStream>,
    /// What it wants to write, how much of it is written, and where the frames in it end; what is
    /// malformed has no number.
    pub out: Vec<u8>,
    pub written: usize,
    frames: VecDeque<(usize, Option<i64>)>,
    /// How much of what is written are whole frames.
    whole: usize,
    /// Where what it says ends the connection, and whether that is a refusal.
    last: Option<(usize, bool)>,
    pub has_said_last: bool,
    /// Nothing follows what it wants to write.
    is_over: bool,
    /// It has ended its stream.
    pub has_ended: bool,
    pub is_deaf: bool,
    pub denies: bool,
    /// The program has disconnected.
    pub is_left: bool,
    /// What it has read beyond the last whole frame, and how much in all.
    heard: Vec<u8>,
    pub heard_bytes: usize,
}

impl Peer {
    fn is_open(&self) -> bool {
        self.stream.is_some() && !self.is_over
    }
}

pub fn listen(place: &Place, is_tcp: bool) -> OwnedFd {
    if !is_tcp {
        return place.listen().into();
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener.into()
}

pub fn port(listener: &OwnedFd) -> u16 {
    TcpListener::from(listener.try_clone().unwrap()).local_addr().unwrap().port()
}

fn accept(listener: &OwnedFd) -> Option<UnixStream> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let (fd, none) = (listener.as_raw_fd(), std::ptr::null_mut());
    // SAFETY: the listener is open, and no address is asked for.
    let fd = unsafe { libc::accept4(fd, none, none.cast(), flags) };
    if fd < 0 {
        return None;
    }
    // SAFETY: the descriptor is new and belongs to nobody else.
    let stream = unsafe { TcpStream::from_raw_fd(fd) };
    // A reset takes away what waits to be sent. (It fails for a Unix socket, which has no delay.)
    let _ = stream.set_nodelay(true);
    Some(UnixStream::from(OwnedFd::from(stream)))
}

impl World {
    pub fn act_as_server(&mut self) {
        let newest = self.peers.len().wrapping_sub(1);
        match self.dice.below(40) {
            0..8 => self.push(),
            8..10 => (0..self.dice.below(40)).for_each(|_| self.push()),
            10 => self.enqueue(&malformed(), None),
            11..16 => self.write(usize::MAX),
            16..20 => {
                let most = self.dice.of(&[1, 3, 60, 1000]);
                self.write(most);
            }
            20..26 => self.read(newest, u64::MAX),
            26..30 => {
                let most = self.dice.of(&[1, 100, 5_000]);
                self.read(newest, most);
            }
            30..34 => {
                let how = if self.is_gentle { self.dice.of(&[0, 3]) } else { self.dice.below(5) };
                self.end(how);
            }
            34 if self.peers.last().is_some_and(|peer| peer.out.is_empty()) => {
                let refusal = error(json!({"code": "max_connections", "limit": 1}));
                self.say_last(&refusal, refusal.len(), true);
            }
            35 if self.dice.below(2) == 0 => self.say_last(b"GET / HTTP/1.1\r\n\r\n", 4, false),
            36 if self.dice.below(4) == 0 => {
                self.push_error("send_denied");
                self.peers.last_mut().into_iter().for_each(|peer| peer.denies = true);
            }
            38 if self.peers.last().is_some_and(|peer| peer.written > 4) => {
                self.push_error("max_connections");
            }
            37 if !self.is_tcp => {
                self.note("server goes away");
                self.listener = None;
            }
            _ => {}
        }
    }

    pub fn come_back(&mut self) {
        if self.listener.is_none() {
            self.note("server comes back");
            self.listener = Some(listen(&self.place, self.is_tcp));
        }
    }

    /// Whether the newest connection can still be written to and read from.
    pub fn has_live_peer(&self) -> bool {
        self.peers.last().is_some_and(|peer| peer.is_open() && !peer.is_deaf && !peer.is_left)
    }

    /// Takes the connections that the last call of the client has made.
    pub fn accept(&mut self, asked_for: bool) {
        while let Some(stream) = self.listener.as_ref().and_then(accept) {
            // What is left of the one before.
            self.read(self.peers.len().wrapping_sub(1), u64::MAX);
            let is_cut = |peer: &Peer| !peer.has_said_last && peer.whole < peer.written;
            self.malformed += u64::from(self.peers.last().is_some_and(is_cut));
            self.note(format!("-> connection {} (asked for: {asked_for})", self.peers.len()));
            self.peers.push(Peer { stream: Some(stream), ..Peer::default() });
            self.first_connections += usize::from(asked_for || !self.was_connected);
            self.was_connected = true;
            self.told_end = false;
        }
    }

    fn enqueue(&mut self, frame: &[u8], number: Option<i64>) {
        if let Some(peer) = self.peers.last_mut().filter(|peer| peer.is_open()) {
            peer.out.extend_from_slice(frame);
            peer.frames.push_back((peer.out.len(), number));
        }
    }

    pub fn push(&mut self) {
        self.number += 1;
        let size = self.dice.of(&[0, 0, 0, 50, 500, 5_000, 20_000, 100_000]);
        let data = json!({"n": self.number, "text": "x".repeat(size)});
        let message = Message::new("event", MessageType::Data, &data).unwrap();
        self.enqueue(&framed(&message), Some(self.number));
    }

    fn push_error(&mut self, code: &str) {
        self.number += 1;
        let frame = error(json!({"code": code, "n": self.number}));
        self.enqueue(&frame, Some(self.number));
    }

    fn say_last(&mut self, bytes: &[u8], effect: usize, refuses: bool) {
        if let Some(peer) = self.peers.last_mut().filter(|peer| peer.is_open()) {
            peer.last = Some((peer.out.len() + effect, refuses));
            peer.out.extend_from_slice(bytes);
            peer.is_over = true;
            self.write(usize::MAX);
        }
    }

    pub fn write(&mut self, most: usize) {
        let index = self.peers.len().wrapping_sub(1);
        let Some(peer) = self.peers.last_mut() else { return };
        let Some(stream) = &mut peer.stream else { return };
        let end = peer.out.len().min(peer.written.saturating_add(most));
        while peer.written < end
            && let Ok(count) = stream.write(&peer.out[peer.written..end])
        {
            peer.written += count;
        }
        while let Some(&(end, number)) = peer.frames.front()
            && end <= peer.written
        {
            peer.frames.pop_front();
            peer.whole = end;
            match number {
                Some(number) => {
                    let is_due = !peer.is_left;
                    self.pending.push_back(Pending { peer: index, number, is_due });
                    self.log.push(format!("server wrote {number} on {index}"));
                }
                None => self.malformed += 1,
            }
        }
        if let Some((_, refuses)) = peer.last.take_if(|(effect, _)| *effect <= peer.written) {
            peer.has_said_last = true;
            self.refusals += usize::from(refuses);
            self.garbage += usize::from(!refuses);
            self.malformed += u64::from(!refuses);
            self.log.push(format!("server ended {index} with its words, refused: {refuses}"));
        }
    }

    pub fn read(&mut self, index: usize, most: u64) {
        let Some(peer) = self.peers.get_mut(index).filter(|peer| !peer.is_deaf) else { return };
        let Some(stream) = &mut peer.stream else { return };
        let before = peer.heard.len();
        // What was read before it says that there is no more stays read.
        let _ = stream.take(most).read_to_end(&mut peer.heard);
        peer.heard_bytes += peer.heard.len() - before;
        while let Some(length) = peer.heard.first_chunk() {
            let end = 4 + u32::from_be_bytes(*length) as usize;
            if peer.heard.len() < end {
                break;
            }
            let message = Message::from_envelope(&peer.heard[4..end]).unwrap();
            peer.heard.drain(..end);
            let number = message.get("/n").and_then(|n| n.as_i64()).unwrap();
            self.log.push(format!("server read {number} on {index}"));
            let place = self.sent.binary_search(&number).expect("it was not sent");
            match self.last_read {
                Some((peer, last)) if peer == index => assert_eq!(place, last + 1),
                last => assert!(last.is_none_or(|(_, last)| place > last), "again"),
            }
            self.last_read = Some((index, place));
        }
    }

    pub fn end(&mut self, how: usize) {
        let newest = self.peers.len().wrapping_sub(1);
        let written: usize = self.peers.iter().map(|peer| peer.written).sum();
        if self.is_gentle || how == 0 {
            self.read(newest, u64::MAX);
        }
        let Some(peer) = self.peers.last_mut() else { return };
        let Some(stream) = &peer.stream else { return };
        self.log.push(format!("server ends {newest} in way {how}"));
        if self.is_tcp && written as u64 > self.client.stats().bytes_received + 30_000 {
            // What is still on its way may die with the connection.
            let pending = self.pending.iter_mut().filter(|pending| pending.peer == newest);
            pending.for_each(|pending| pending.is_due = false);
        }
        match how {
            0 | 1 => peer.stream = None,
            2 => {
                reset_on_close(stream);
                peer.stream = None;
            }
            3 => stream.shutdown(Shutdown::Write).unwrap_or(()),
            _ => {
                stream.shutdown(Shutdown::Read).unwrap_or(());
                peer.is_deaf = true;
            }
        }
        peer.has_ended |= how < 4;
        peer.is_over |= peer.has_ended;
    }
}

fn reset_on_close(stream: &UnixStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let (fd, size) = (stream.as_raw_fd(), size_of_val(&linger) as libc::socklen_t);
    let value = (&raw const linger).cast();
    // SAFETY: the value is a linger, of this size, and stays valid during the call.
    let result = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, libc::SO_LINGER, value, size) };
    assert_eq!(result, 0);
}
