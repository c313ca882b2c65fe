//! Frames come out of a stream whole and in order, however it is split and whatever is done with
//! the buffer's memory meanwhile.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The first byte says how many bytes follow that are steps; the rest is the stream.
fuzz_target!(|input: &[u8]| {
    let Some((&count, rest)) = input.split_first() else { return };
    let Some((steps, stream)) = rest.split_at_checked(usize::from(count).max(1)) else { return };
    for max_body in [64, 1 << 16] {
        let cut = dotsock::fuzzing::frames(stream, steps, max_body);
        assert_eq!(cut, dotsock_fuzz::frames(stream, max_body));
    }
});
