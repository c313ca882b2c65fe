//! # Hooks
//!
//! Functions that the server calls when a client comes, goes, or sends a message. They run with
//! sock_server_start() and sock_server_run(), one at a time, on the thread that runs the server;
//! not with sock_server_open().
//!
//! No lock is held while a hook runs: it may call everything, including sock_send(),
//! sock_server_stop() and sock_server_disconnect_client() for that very client. It must return: no
//! longjmp and no C++ exception may leave it. While it runs, the server reads nothing and its
//! clients wait.
//!
//! `ctx` is handed to the hook as it is. `drop`, if not NULL, is called with it exactly once,
//! after the hook's last call: when the hook is set again, or to NULL, or when the server is
//! freed. A `drop` that is passed with a NULL hook runs at once, before that call returns. When
//! setting fails, nothing was taken and `ctx` is still the caller's.
//!
//! All three: DOTSOCK_E_STATE while the server is running.

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;

use super::client_id::ClientId;
use super::context::{Context, Slot, sock_drop_fn};
use super::guard::{self, foreign};
use super::message::{self, sock_message};
use super::server::{sock_server, usable};
use crate::Result;
use crate::server::{ClientHook, Hooks, MessageHook};

/// A hook for a client that has come or gone. `client_id` is valid during the call.
pub type sock_client_hook_fn = Option<
    unsafe extern "C" fn(ctx: *mut c_void, server: *mut sock_server, client_id: *const c_char),
>;

/// A hook for a message that a client has sent. `client_id` and `message` are valid during the
/// call; sock_message_ref() keeps a message for longer.
pub type sock_message_hook_fn = Option<
    unsafe extern "C" fn(
        ctx: *mut c_void,
        server: *mut sock_server,
        client_id: *const c_char,
        message: *const sock_message,
    ),
>;

/// The contexts of a server's hooks.
#[derive(Default)]
pub(super) struct Slots {
    connected: Slot,
    disconnected: Slot,
    message: Slot,
}

impl Slots {
    /// In a forked child: runs the `drop`s.
    pub fn finish(&self) {
        for slot in [&self.connected, &self.disconnected, &self.message] {
            slot.finish();
        }
    }
}

/// Sets the hook that is called when a client has connected; NULL for none. The client counts as
/// connected before that: what the hook sends reaches it, after the backlog.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_on_client_connected(
    server: *mut sock_server,
    hook: sock_client_hook_fn,
    ctx: *mut c_void,
    drop: sock_drop_fn,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a live server.
        let handle = unsafe { usable(server) }?;
        let hook = hook.map(|hook| client_hook(hook, Pointer(server)));
        set(handle, |hooks| &mut hooks.connected, &handle.slots().connected, hook, (ctx, drop))
    })
}

/// Sets the hook that is called when a client has left, or was disconnected; NULL for none. No hook
/// is called with this id afterwards.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_on_client_disconnected(
    server: *mut sock_server,
    hook: sock_client_hook_fn,
    ctx: *mut c_void,
    drop: sock_drop_fn,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a live server.
        let handle = unsafe { usable(server) }?;
        let hook = hook.map(|hook| client_hook(hook, Pointer(server)));
        set(
            handle,
            |hooks| &mut hooks.disconnected,
            &handle.slots().disconnected,
            hook,
            (ctx, drop),
        )
    })
}

/// Sets the hook that is called when a client has sent a message; NULL for none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn sock_server_on_message_received(
    server: *mut sock_server,
    hook: sock_message_hook_fn,
    ctx: *mut c_void,
    drop: sock_drop_fn,
) -> c_int {
    guard::call(|| {
        // SAFETY: the header asks for a live server.
        let handle = unsafe { usable(server) }?;
        let hook = hook.map(|hook| message_hook(hook, Pointer(server)));
        set(handle, |hooks| &mut hooks.message, &handle.slots().message, hook, (ctx, drop))
    })
}

/// Puts a hook and its context in the place of the ones before.
fn set<H>(
    handle: &sock_server,
    place: impl FnOnce(&mut Hooks) -> &mut Option<H>,
    slot: &Slot,
    hook: Option<impl FnOnce(Arc<Context>) -> H>,
    (ctx, drop): (*mut c_void, sock_drop_fn),
) -> Result<()> {
    let replaced = handle.server().set_hooks(|hooks| {
        // Only here is it certain that the context is taken.
        let context = Arc::new(Context::new(ctx, drop));
        let kept = hook.is_some().then(|| context.clone());
        let hook = hook.map(|hook| hook(context.clone()));
        (std::mem::replace(place(hooks), hook), slot.replace(kept), context)
    })?;
    // Outside the server's lock: the earlier `drop` runs, or that of a context without a hook.
    std::mem::drop(replaced);
    Ok(())
}

/// The handle that a hook is told of. It outlives the hook: `sock_server_free` waits for that.
#[derive(Clone, Copy)]
struct Pointer(*mut sock_server);

// SAFETY: a hook may use the handle on any thread, as all its calls may be made on any.
unsafe impl Send for Pointer {}
// SAFETY: as above.
unsafe impl Sync for Pointer {}

impl Pointer {
    /// A method, so that closures capture the whole and not the raw pointer in it.
    fn get(self) -> *mut sock_server {
        self.0
    }
}

fn client_hook(
    hook: unsafe extern "C" fn(*mut c_void, *mut sock_server, *const c_char),
    server: Pointer,
) -> impl FnOnce(Arc<Context>) -> ClientHook {
    move |context| {
        Arc::new(move |_, client_id| {
            let id = ClientId::new(client_id.as_bytes());
            // SAFETY: the header asks for a function of this type that takes this context; the
            // server is alive and the id valid during the call.
            foreign(|| unsafe { hook(context.pointer(), server.get(), id.as_ptr()) });
        })
    }
}

fn message_hook(
    hook: unsafe extern "C" fn(*mut c_void, *mut sock_server, *const c_char, *const sock_message),
    server: Pointer,
) -> impl FnOnce(Arc<Context>) -> MessageHook {
    move |context| {
        Arc::new(move |_, client_id, message| {
            let id = ClientId::new(client_id.as_bytes());
            let message = message::lend(message);
            // SAFETY: as in `client_hook`; the message is borrowed for the call.
            foreign(|| unsafe { hook(context.pointer(), server.get(), id.as_ptr(), message) });
        })
    }
}
