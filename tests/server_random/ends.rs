//! A client's own end of a connection: what it said, what it heard, and what it should have heard.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use dotsock::{Message, MessageType};
use serde_json::json;

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Fate {
    /// In the listener's queue.
    Waiting,
    Client,
    Refused,
    /// The server stopped before it was accepted.
    Orphan,
}

/// A message that a client is to hear, surely or perhaps.
pub type Due = (u64, bool);

pub struct End {
    pub fate: Fate,
    /// Of either transport: whatever is done with it here is the same.
    pub stream: Option<UnixStream>,
    pub heard: Vec<u8>,
    pub has_ended: bool,
    /// Nothing can be written to it any more, or so it seems soon.
    pub doomed: bool,
    /// It has ended its own stream.
    pub silent: bool,
    outgoing: Vec<u8>,
    built: usize,
    /// Bytes of its speech that the kernel took, and how many of them had to reach the program.
    pub said: usize,
    pub required: Option<usize>,
    /// Where its messages end, in its speech; and its malformed frames; and a frame's head that ends it.
    pub goods: Vec<usize>,
    pub bads: Vec<usize>,
    pub huge: Option<usize>,
    pub connected: bool,
    pub gone: bool,
    pub dismissed: bool,
    /// The server has ended it before it had read everything.
    pub cut: bool,
    pub yielded: usize,
    /// From the backlog, and what was sent since it came.
    pub head: Vec<Due>,
    pub live: Vec<Due>,
}

pub struct Heard {
    pub bytes: usize,
    pub frames: usize,
    pub messages: usize,
}

impl End {
    pub fn new(stream: UnixStream) -> End {
        stream.set_nonblocking(true).unwrap();
        End {
            fate: Fate::Waiting,
            stream: Some(stream),
            heard: Vec::new(),
            has_ended: false,
            doomed: false,
            silent: false,
            outgoing: Vec::new(),
            built: 0,
            said: 0,
            required: None,
            goods: Vec::new(),
            bads: Vec::new(),
            huge: None,
            connected: false,
            gone: false,
            dismissed: false,
            cut: false,
            yielded: 0,
            head: Vec::new(),
            live: Vec::new(),
        }
    }

    pub fn may_speak(&self) -> bool {
        self.stream.is_some() && !self.silent && self.huge.is_none()
    }

    pub fn prepare_message(&mut self, size: usize) {
        let data = json!({"s": self.goods.len(), "text": "y".repeat(size)});
        let message = Message::new("event", MessageType::Data, &data).unwrap();
        let body = message.envelope();
        self.prepare(&(body.len() as u32).to_be_bytes());
        self.prepare(body);
        self.goods.push(self.built);
    }

    pub fn prepare_malformed(&mut self, size: usize) {
        self.prepare(&(size as u32).to_be_bytes());
        self.prepare(&vec![0xc1; size]);
        self.bads.push(self.built);
    }

    pub fn prepare_oversize(&mut self) {
        self.prepare(b"GET ");
        self.huge = Some(self.built);
    }

    fn prepare(&mut self, bytes: &[u8]) {
        self.outgoing.extend_from_slice(bytes);
        self.built += bytes.len();
    }

    /// Says so much of what is prepared as the kernel takes.
    pub fn speak(&mut self, most: usize) {
        let Some(stream) = self.stream.as_mut().filter(|_| !self.silent) else { return };
        let mut most = most.min(self.outgoing.len());
        while most > 0 {
            let Ok(written) = stream.write(&self.outgoing[..most]) else { break };
            self.outgoing.drain(..written);
            self.said += written;
            most -= written;
        }
    }

    pub fn hear(&mut self, most: usize) -> bool {
        let before = self.heard.len();
        let Some(stream) = &mut self.stream else { return false };
        let end = stream.take(most as u64).read_to_end(&mut self.heard);
        let heard = self.heard.len() - before;
        self.has_ended |= match end {
            Ok(_) => heard < most,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        };
        heard > 0
    }

    /// Takes note of what is there, and leaves it unread.
    fn peek(&mut self) {
        let Some(stream) = &self.stream else { return };
        let mut bytes = vec![0; 1 << 20];
        // SAFETY: the buffer is as large as it says.
        let count = unsafe {
            let flags = libc::MSG_PEEK | libc::MSG_DONTWAIT;
            libc::recv(stream.as_raw_fd(), bytes.as_mut_ptr().cast(), bytes.len(), flags)
        };
        self.heard.extend_from_slice(&bytes[..count.max(0) as usize]);
    }

    pub fn close(&mut self, reset: bool) {
        self.peek();
        if let Some(stream) = self.stream.take().filter(|_| reset) {
            let linger = libc::linger { l_onoff: 1, l_linger: 0 };
            // SAFETY: the option's value is of the size that is named.
            unsafe {
                let size = size_of_val(&linger) as libc::socklen_t;
                let at = (&raw const linger).cast();
                libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, at, size);
            }
        }
        self.required.get_or_insert(self.said);
        (self.doomed, self.silent) = (true, true);
    }

    pub fn end_speech(&mut self) {
        let Some(stream) = &self.stream else { return };
        let _ = stream.shutdown(Shutdown::Write);
        self.silent = true;
    }

    pub fn end_hearing(&mut self) {
        let Some(stream) = &self.stream else { return };
        let _ = stream.shutdown(Shutdown::Read);
        self.required.get_or_insert(self.said);
        self.doomed = true;
    }

    pub fn due_speech(&self) -> usize {
        self.required.unwrap_or(self.said)
    }

    pub fn within(ends: &[usize], bytes: usize) -> usize {
        ends.partition_point(|end| *end <= bytes)
    }

    pub fn ends_inside_a_frame(&self) -> bool {
        let mut ends = self.goods.iter().chain(&self.bads);
        self.said > 0 && !ends.any(|end| *end == self.said)
    }

    /// Everything it has heard stands in order, with every gap told of in its place.
    pub fn check(&self, complete: bool, denies: bool) -> Heard {
        let due: Vec<Due> = self.head.iter().chain(&self.live).copied().collect();
        let (mut at, mut missed, mut denied) = (0, 0, 0);
        let mut sum = Heard { bytes: self.heard.len(), frames: 0, messages: 0 };
        let mut rest = &self.heard[..];
        let slack = |denied: usize| usize::from(denies && denied == 0 && !self.goods.is_empty());
        while let Some((length, after)) = rest.split_first_chunk() {
            let length = u32::from_be_bytes(*length) as usize;
            if after.len() < length {
                break;
            }
            let message = Message::from_envelope(&after[..length]).unwrap();
            rest = &after[length..];
            sum.frames += 1;
            let value = |pointer| message.get(pointer).and_then(|value| value.as_i64());
            match (value("/n"), value("/count")) {
                (Some(number), _) => {
                    let found = due[at..].iter().position(|due| due.0 as i64 == number);
                    let found = at + found.unwrap_or_else(|| panic!("{number} at {at} of {due:?}"));
                    let sure = due[at..found].iter().filter(|due| due.1).count();
                    assert!(sure <= missed, "{sure} missed before {number}, not {missed}");
                    assert!(missed <= found - at + slack(denied), "{missed} before {number}");
                    (at, missed) = (found + 1, 0);
                    sum.messages += 1;
                }
                (_, Some(count)) => missed += count as usize,
                _ => {
                    let code = message.get("/code").unwrap().as_str().unwrap().to_owned();
                    match code.as_str() {
                        "send_denied" => denied += 1,
                        "max_connections" => {
                            assert_eq!((self.fate, sum.frames), (Fate::Refused, 1))
                        }
                        _ => panic!("{message:?}"),
                    }
                }
            }
        }
        assert!(denied <= 1);
        assert!(missed <= due.len() - at + slack(denied), "{missed} missed at the end");
        if complete {
            let sure = due[at..].iter().filter(|due| due.1).count();
            assert!(sure <= missed, "{:?} are not heard, {missed} missed", &due[at..]);
            assert_eq!(rest.len(), 0, "a cut frame");
        }
        sum
    }
}
