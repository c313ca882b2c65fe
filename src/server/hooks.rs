//! Running what is the program's on the thread of the loop: hooks, and log functions.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use log::Level;

use super::LOG;
use super::Server;
use super::engine::RawEvent;
use super::shared::{Mode, Phase, Shared, State, client_id};
use crate::notes::log_now;
use crate::{Error, Message, Result, Status};

/// A hook for a client that came or went: gets the server and the client's id.
pub(crate) type ClientHook = Arc<dyn Fn(&Server, &str) + Send + Sync>;
/// A hook for a message: gets the server, the client's id and the message.
pub(crate) type MessageHook = Arc<dyn Fn(&Server, &str, &Message) + Send + Sync>;

/// The hooks of a server.
#[derive(Default, Clone)]
pub(crate) struct Hooks {
    pub connected: Option<ClientHook>,
    pub disconnected: Option<ClientHook>,
    pub message: Option<MessageHook>,
}

impl Server {
    /// Sets what is called when a client has connected.
    ///
    /// Hooks run with [`start`](Server::start) and [`run`](Server::run), one at a time, on the thread
    /// of the loop; meanwhile nothing is read from any client. They may call everything: take the
    /// `&Server` that they are given, since an `Arc<Server>` of its own would keep the server alive
    /// for as long as it has the hook. A hook that panics is logged, and the server goes on.
    ///
    /// # Errors
    ///
    /// [`Status::State`]: the server is running. Set hooks before.
    pub fn on_client_connected(
        &self,
        hook: impl Fn(&Server, &str) + Send + Sync + 'static,
    ) -> Result<()> {
        self.set_hooks(|hooks| hooks.connected.replace(Arc::new(hook))).map(drop)
    }

    /// Sets what is called when a client has left; the rules and errors are those of
    /// [`on_client_connected`](Server::on_client_connected).
    ///
    /// # Errors
    ///
    /// [`Status::State`]: the server is running. Set hooks before.
    pub fn on_client_disconnected(
        &self,
        hook: impl Fn(&Server, &str) + Send + Sync + 'static,
    ) -> Result<()> {
        self.set_hooks(|hooks| hooks.disconnected.replace(Arc::new(hook))).map(drop)
    }

    /// Sets what is called when a client sent a message; the rules and errors are those of
    /// [`on_client_connected`](Server::on_client_connected).
    ///
    /// # Errors
    ///
    /// [`Status::State`]: the server is running. Set hooks before.
    pub fn on_message_received(
        &self,
        hook: impl Fn(&Server, &str, &Message) + Send + Sync + 'static,
    ) -> Result<()> {
        self.set_hooks(|hooks| hooks.message.replace(Arc::new(hook))).map(drop)
    }

    /// Changes the hooks; `change` is not called when that is not possible.
    pub(crate) fn set_hooks<R>(&self, change: impl FnOnce(&mut Hooks) -> R) -> Result<R> {
        self.shared.check_process()?;
        let state = self.shared.lock();
        if state.phase != Phase::Idle {
            return Err(Error::new(
                Status::State,
                format!(
                    "Hooks of '{}' are set while it is not running: stop it first",
                    self.event_name()
                ),
            ));
        }
        Ok(change(&mut self.shared.hooks.lock()))
    }
}

/// Calls the hooks of a server for as long as its loop runs.
pub(super) struct HookCaller {
    server: Server,
    hooks: Hooks,
    mode: Mode,
    /// The client that was named last: most messages come from the same one as the one before.
    client: u64,
    client_id: String,
}

impl HookCaller {
    pub fn new(shared: &Arc<Shared>, mode: Mode) -> HookCaller {
        let hooks = shared.hooks.lock().clone();
        let server = Server::borrowed(shared.clone());
        HookCaller { server, hooks, mode, client: 0, client_id: String::new() }
    }

    /// Calls the hook for an event. Sends from it, and from other threads meanwhile, are written
    /// before they return: nobody stands ready for a tail.
    #[inline(always)]
    pub fn call(&mut self, event: &RawEvent) {
        let (id, hook) = match event {
            RawEvent::Connected(id) => (*id, &self.hooks.connected),
            RawEvent::Disconnected(id) => (*id, &self.hooks.disconnected),
            RawEvent::Message(id, message) => {
                let Some(hook) = &self.hooks.message else { return };
                name(*id, &mut self.client, &mut self.client_id);
                let (server, client_id) = (&self.server, &self.client_id);
                return run(server, self.mode, || {
                    if !server.shared.comes_too_late(event) {
                        hook(server, client_id, message);
                    }
                });
            }
        };
        let Some(hook) = hook else { return };
        name(id, &mut self.client, &mut self.client_id);
        let (server, client_id) = (&self.server, &self.client_id);
        run(server, self.mode, || hook(server, client_id));
    }
}

#[inline(always)]
fn name(id: u64, client: &mut u64, text: &mut String) {
    if *client != id {
        (*client, *text) = (id, client_id(id));
    }
}

#[inline(always)]
fn run(server: &Server, mode: Mode, hook: impl FnOnce()) {
    server.shared.without_standby(mode, || {
        if catch_unwind(AssertUnwindSafe(hook)).is_err() {
            let name = server.event_name();
            log_now(Level::Error, LOG, format_args!("A hook of '{name}' has panicked"));
        }
    });
}

impl Shared {
    /// Runs code of the program's on the thread of the loop, which is not ready for a tail then;
    /// what has collected meanwhile is written.
    #[inline(always)]
    pub fn without_standby(&self, mode: Mode, program: impl FnOnce()) {
        if mode == Mode::Thread && self.stands_by.load(Ordering::Relaxed) {
            self.set_standby(&mut self.lock(), false);
        }
        program();
        // Nothing collects then but under a cork; and what does in a child that the program has
        // forked is the parent's to write.
        if self.corked.load(Ordering::Relaxed) && self.process.is_current() {
            self.lock().delivery.write_collected();
        }
    }

    /// The library's own thread is about to wait: it is ready to write a tail then.
    pub fn stand_by(&self) {
        if self.stands_by.load(Ordering::Relaxed) {
            return;
        }
        let mut state = self.lock();
        if state.phase == Phase::Running(Mode::Thread) {
            self.set_standby(&mut state, true);
        }
    }

    pub fn set_standby(&self, state: &mut State, standby: bool) {
        self.stands_by.store(standby, Ordering::Relaxed);
        state.delivery.set_standby(standby);
    }
}
