//! What the fuzz targets reach that the public interface does not; built for them alone.

use crate::wire::frame::{Cut, FrameBuffer};

/// Feeds `stream` to a frame buffer in pieces and returns the frames that came out, up to the first
/// that is longer than `max_body`. Every piece takes one of `steps`, over and over: how much
/// arrives, and what is done with the buffer's memory before.
pub fn frames(mut stream: &[u8], steps: &[u8], max_body: usize) -> Vec<Vec<u8>> {
    let mut buffer = FrameBuffer::default();
    let (mut spare, mut frames) = (Vec::new(), Vec::new());
    let size = 1 << (steps.first().copied().unwrap_or(0) & 15);
    let mut most_at_once = size;
    for &step in steps.iter().cycle() {
        match step >> 6 {
            0 => spare = buffer.release(),
            1 => buffer.lend(std::mem::take(&mut spare)),
            _ => {}
        }
        let read = |to: &mut Vec<u8>, most: usize| {
            let count = most.min(1 << (step & 15)).min(stream.len());
            to.extend_from_slice(&stream[..count]);
            stream = &stream[count..];
            most > 0
        };
        let (_, had_room) = buffer.fill(size, read).expect("memory for what arrives");
        assert!(had_room, "a read for nothing looks like the end of the stream");
        most_at_once = most_at_once.max(buffer.len());
        assert!(buffer.capacity() <= 2 * most_at_once.max(4), "memory for what has not arrived");
        loop {
            match buffer.cut(max_body) {
                Cut::Frame(body) if step & 16 == 0 => {
                    frames.push(buffer.frame(body).to_vec());
                    buffer.pass(body);
                }
                Cut::Frame(body) => frames.push(buffer.take(body).expect("memory for a frame")),
                Cut::Incomplete => break,
                Cut::TooLarge(_) => return frames,
            }
        }
        if stream.is_empty() {
            break;
        }
    }
    frames
}
