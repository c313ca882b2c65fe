package dotsock

// #include "glue.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// uninterrupted makes a call, and again where the handler of a signal has ended it: the Go runtime
// has handlers for all signals, so that is no reason to give up, and nothing was sent. The second
// time signals go to other threads: each wait takes its time anew, and may not do so for ever.
func uninterrupted(call func() C.outcome) C.outcome {
	how := call()
	if how.status != C.DOTSOCK_E_INTERRUPTED {
		return how
	}
	C.free(unsafe.Pointer(how.text))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := C.block_signals()
	defer C.restore_signals(&before)
	return call()
}
