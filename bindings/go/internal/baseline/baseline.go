// Package baseline receives messages in C, as what the Go module is compared with.
package baseline

/*
#cgo pkg-config: dotsock
#include <dotsock.h>
#include <stdlib.h>

// Asks the server for messages with `request`, and receives `count` of them.
static int receive(const char *event_name, const char *request, long count) {
    sock_client *client = sock_client_new(DOTSOCK_UNIX, event_name, NULL);
    int status = client ? sock_client_connect(client) : sock_last_status();
    if (status == DOTSOCK_OK) status = sock_client_send_json(client, DOTSOCK_DATA, request);
    for (long i = 0; i < count && status == DOTSOCK_OK; i++) {
        sock_message *message;
        status = sock_client_recv(client, -1, &message);
        if (status == DOTSOCK_E_INTERRUPTED) {
            status = DOTSOCK_OK;
            i--;
        } else if (status == DOTSOCK_OK) {
            sock_message_free(message);
        }
    }
    sock_client_free(client);
    return status;
}
*/
import "C"

import (
	"fmt"
	"unsafe"
)

// Receive connects, sends a request as JSON, and receives so many messages.
func Receive(event, request string, count int) error {
	cEvent, cRequest := C.CString(event), C.CString(request)
	defer C.free(unsafe.Pointer(cEvent))
	defer C.free(unsafe.Pointer(cRequest))
	if status := C.receive(cEvent, cRequest, C.long(count)); status != C.DOTSOCK_OK {
		return fmt.Errorf("receiving in C ended with status %d", status)
	}
	return nil
}
