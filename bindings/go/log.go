package dotsock

// #include "glue.h"
import "C"

import (
	"bufio"
	"context"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
)

// LevelTrace is below [slog.LevelDebug]: everything the library has to say.
const LevelTrace = slog.LevelDebug - 4

// levels are the library's, most important first, with their names in its records.
var levels = []struct {
	name  string
	level slog.Level
}{
	{"ERROR", slog.LevelError},
	{"WARN", slog.LevelWarn},
	{"INFO", slog.LevelInfo},
	{"DEBUG", slog.LevelDebug},
	{"TRACE", LevelTrace},
}

var (
	logger   atomic.Pointer[slog.Logger]
	logMutex sync.Mutex
	// Made once and never closed: a record may be on its way to it at any time.
	logPipe = -1
)

// SetLogger sends what the library has to say to a logger, from all servers and clients of the
// program; nil ends that, and it is silent as before. The attribute "target" says which part of
// the library speaks.
//
// The logger's levels are asked for once, by this call: to log debug records, the logger must have
// them enabled by now. Records are handed over in a goroutine; when the logger is too slow for
// them, some are lost, and the library is not held up.
func SetLogger(l *slog.Logger) error {
	logMutex.Lock()
	defer logMutex.Unlock()
	if l == nil {
		err := check(C.set_log_fd(C.DOTSOCK_LOG_OFF, -1))
		logger.Store(nil)
		return err
	}
	if logPipe < 0 {
		// Neither end may wait for the other on a thread. The library writes each record with one
		// call, so that a full pipe loses whole ones.
		var ends [2]int
		if err := syscall.Pipe2(ends[:], syscall.O_CLOEXEC|syscall.O_NONBLOCK); err != nil {
			return systemError("No pipe for log records", err)
		}
		logPipe = ends[1]
		go forwardLog(os.NewFile(uintptr(ends[0]), "dotsock log"))
	}
	level := C.DOTSOCK_LOG_OFF
	for i, known := range levels {
		if l.Enabled(context.Background(), known.level) {
			level = C.DOTSOCK_LOG_ERROR + i
		}
	}
	logger.Store(l)
	return check(C.set_log_fd(C.int(level), C.int(logPipe)))
}

func forwardLog(reader *os.File) {
	lines := bufio.NewReader(reader)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			return
		}
		if l := logger.Load(); l != nil {
			level, target, text := parseRecord(strings.TrimSuffix(line, "\n"))
			l.LogAttrs(context.Background(), level, text, slog.String("target", target))
		}
	}
}

// parseRecord takes "LEVEL target: text" apart.
func parseRecord(line string) (level slog.Level, target, text string) {
	name, rest, _ := strings.Cut(line, " ")
	target, text, _ = strings.Cut(rest, ": ")
	for _, known := range levels {
		if known.name == name {
			return known.level, target, text
		}
	}
	return slog.LevelInfo, target, text
}
