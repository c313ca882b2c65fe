package dotsock

// #include "glue.h"
import "C"

// Version is that of the library in use, such as "0.1.0".
func Version() string { return C.GoString(C.sock_version()) }

// ValidateEventName fails with [ErrInvalid] for what is no name of an event: 1 to 64 of A-Z, a-z,
// 0-9, '_' and '-'. It says what is wrong with it.
func ValidateEventName(name string) error {
	cName, err := cString("event's name", name)
	if err != nil {
		return err
	}
	return check(C.validate_event_name(cName))
}
