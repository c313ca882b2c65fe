//! Servers and clients in one expression.

use crate::{Client, Message, Options, Result, Server, Transport};

/// What a server and a client have in common before they are made.
struct Plan {
    transport: Transport,
    event_name: String,
    options: Option<Options>,
    changes: Vec<(String, String)>,
}

impl Plan {
    fn new(event_name: &str) -> Plan {
        Plan {
            transport: Transport::Unix,
            event_name: event_name.into(),
            options: None,
            changes: Vec::new(),
        }
    }

    fn options(&self) -> Result<Options> {
        let mut options = match &self.options {
            Some(options) => options.clone(),
            None => Options::new()?,
        };
        for (key, value) in &self.changes {
            options.set(key, Some(value))?;
        }
        Ok(options)
    }

    /// Without the options: a token may be among them.
    fn show(&self, builder: &str, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct(builder)
            .field("transport", &self.transport)
            .field("event_name", &self.event_name)
            .finish_non_exhaustive()
    }
}

type Preparation = Box<dyn FnOnce(&Server) -> Result<()> + Send>;

/// A server to be made: from [`Server::builder`].
///
/// What is wrong with an option or a name is an error of [`build`](ServerBuilder::build).
#[must_use = "a builder makes nothing before build or start"]
pub struct ServerBuilder {
    plan: Plan,
    preparations: Vec<Preparation>,
}

impl ServerBuilder {
    pub(crate) fn new(event_name: &str) -> ServerBuilder {
        ServerBuilder { plan: Plan::new(event_name), preparations: Vec::new() }
    }

    /// Chooses the transport; [`Transport::Unix`] unless told otherwise.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.plan.transport = transport;
        self
    }

    /// Starts from these options instead of the configured ones.
    pub fn options(mut self, options: Options) -> Self {
        self.plan.options = Some(options);
        self
    }

    /// Sets one option, as [`Options::set`].
    pub fn option(mut self, key: &str, value: &str) -> Self {
        self.plan.changes.push((key.into(), value.into()));
        self
    }

    /// As [`Server::on_client_connected`].
    pub fn on_client_connected(self, hook: impl Fn(&Server, &str) + Send + Sync + 'static) -> Self {
        self.prepare(|server| server.on_client_connected(hook))
    }

    /// As [`Server::on_client_disconnected`].
    pub fn on_client_disconnected(
        self,
        hook: impl Fn(&Server, &str) + Send + Sync + 'static,
    ) -> Self {
        self.prepare(|server| server.on_client_disconnected(hook))
    }

    /// As [`Server::on_message_received`].
    pub fn on_message_received(
        self,
        hook: impl Fn(&Server, &str, &Message) + Send + Sync + 'static,
    ) -> Self {
        self.prepare(|server| server.on_message_received(hook))
    }

    fn prepare(mut self, preparation: impl FnOnce(&Server) -> Result<()> + Send + 'static) -> Self {
        self.preparations.push(Box::new(preparation));
        self
    }

    /// Makes the server; nothing is opened yet.
    ///
    /// # Errors
    /// - Those of [`Server::new`], of [`Options::new`] (without [`options`](Self::options)) and of
    ///   [`Options::set`].
    pub fn build(self) -> Result<Server> {
        let options = self.plan.options()?;
        let server = Server::new(self.plan.transport, &self.plan.event_name, &options)?;
        self.preparations.into_iter().try_for_each(|prepare| prepare(&server))?;
        Ok(server)
    }

    /// Makes the server and starts it on a thread of its own, as [`Server::start`].
    ///
    /// # Errors
    /// - Those of [`build`](ServerBuilder::build) and of [`Server::start`].
    pub fn start(self) -> Result<Server> {
        let server = self.build()?;
        server.start()?;
        Ok(server)
    }
}

impl std::fmt::Debug for ServerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.plan.show("ServerBuilder", f)
    }
}

/// A client to be made: from [`Client::builder`].
///
/// What is wrong with an option or a name is an error of [`build`](ClientBuilder::build).
#[must_use = "a builder makes nothing before build or connect"]
pub struct ClientBuilder {
    plan: Plan,
}

impl ClientBuilder {
    pub(crate) fn new(event_name: &str) -> ClientBuilder {
        ClientBuilder { plan: Plan::new(event_name) }
    }

    /// Chooses the transport; [`Transport::Unix`] unless told otherwise.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.plan.transport = transport;
        self
    }

    /// Starts from these options instead of the configured ones.
    pub fn options(mut self, options: Options) -> Self {
        self.plan.options = Some(options);
        self
    }

    /// Sets one option, as [`Options::set`].
    pub fn option(mut self, key: &str, value: &str) -> Self {
        self.plan.changes.push((key.into(), value.into()));
        self
    }

    /// Makes the client, not connected yet.
    ///
    /// # Errors
    /// - Those of [`Client::new`], of [`Options::new`] (without [`options`](Self::options)) and of
    ///   [`Options::set`].
    pub fn build(self) -> Result<Client> {
        Client::new(self.plan.transport, &self.plan.event_name, &self.plan.options()?)
    }

    /// Makes the client and connects it, as [`Client::connect`].
    ///
    /// # Errors
    /// - Those of [`build`](ClientBuilder::build) and of [`Client::connect`].
    pub fn connect(self) -> Result<Client> {
        let client = self.build()?;
        client.connect()?;
        Ok(client)
    }
}

impl std::fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.plan.show("ClientBuilder", f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program may prepare on one thread what it starts on another.
    const _: () = {
        const fn is_send<T: Send>() {}
        is_send::<ServerBuilder>();
        is_send::<ClientBuilder>();
    };

    #[test]
    fn what_is_printed_of_a_builder_names_the_event_and_shows_no_token() {
        let server = Server::builder("door").option("token", "hush");
        let client = Client::builder("door").option("token", "hush");
        for printed in [format!("{server:?}"), format!("{client:?}")] {
            assert!(printed.contains("door") && !printed.contains("hush"), "{printed}");
        }
    }
}
