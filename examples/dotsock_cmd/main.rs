//! Rust's part of tests/conformance, whose README.md says what this does.

mod values;

use std::io::BufRead;
use std::process::ExitCode;
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use dotsock::{Client, Error, Message, MessageType, Options, Server, Status, Transport};
use serde_json::{Map, Value, json};

fn main() -> ExitCode {
    let (run, command) = match parse(std::env::args().skip(1)) {
        Ok(parsed) => parsed,
        Err(text) => {
            eprintln!("dotsock_cmd: {text}");
            return ExitCode::from(2);
        }
    };
    match run(command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.write();
            ExitCode::FAILURE
        }
    }
}

/// What the arguments ask for.
struct Command {
    event: String,
    transport: Transport,
    settings: Vec<(String, String)>,
    count: Option<u64>,
    timeout: Duration,
    open: bool,
}

type Run = fn(Command) -> Result<(), Failure>;

fn parse(mut arguments: impl Iterator<Item = String>) -> Result<(Run, Command), String> {
    let usage = "usage: dotsock_cmd serve|listen|send EVENT [options]";
    let run: Run = match arguments.next().ok_or(usage)?.as_str() {
        "serve" => serve,
        "listen" => listen,
        "send" => send,
        other => return Err(format!("{other} is no command: use serve, listen or send")),
    };
    let mut command = Command {
        event: arguments.next().ok_or(usage)?,
        transport: Transport::Unix,
        settings: Vec::new(),
        count: None,
        timeout: Duration::from_secs(10),
        open: false,
    };
    while let Some(option) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{option} needs a value"));
        match option.as_str() {
            "--transport" => command.transport = transport(&value()?)?,
            "--set" => {
                let text = value()?;
                let (key, value) = text.split_once('=').ok_or("--set needs KEY=VALUE")?;
                command.settings.push((key.to_owned(), value.to_owned()));
            }
            "--count" => command.count = Some(number(&value()?)?),
            "--timeout" => command.timeout = Duration::from_millis(number(&value()?)?),
            "--open" => command.open = true,
            _ => return Err(format!("{option} is no option")),
        }
    }
    Ok((run, command))
}

fn transport(name: &str) -> Result<Transport, String> {
    match name {
        "unix" => Ok(Transport::Unix),
        "tcp" => Ok(Transport::Tcp),
        _ => Err(format!("{name} is no transport: use unix or tcp")),
    }
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("{text} is no number"))
}

// --- Failing -------------------------------------------------------------------------------------

/// What a call failed with, or what is wrong with a line.
struct Failure {
    status: i32,
    text: String,
}

impl Failure {
    fn write(&self) {
        write(json!({"error": {"status": self.status, "text": self.text}}));
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure { status: error.status().code(), text: error.to_string() }
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Failure {
        Failure { status: Status::Invalid.code(), text }
    }
}

// --- Commands ------------------------------------------------------------------------------------

impl Command {
    fn options(&self) -> Result<Options, Error> {
        let mut options = Options::new()?;
        for (key, value) in &self.settings {
            options.set(key, Some(value))?;
        }
        Ok(options)
    }
}

/// What `serve` waits for.
enum Next {
    Line(String),
    End,
    /// A message has come.
    Received,
}

fn serve(command: Command) -> Result<(), Failure> {
    let server = Server::new(command.transport, &command.event, &command.options()?)?;
    let (sender, next) = mpsc::channel();
    server.on_client_connected(|_, id| write(json!({"connected": id})))?;
    server.on_client_disconnected(|_, id| write(json!({"disconnected": id})))?;
    let received = sender.clone();
    server.on_message_received(move |_, id, message| {
        match described(message) {
            Ok(mut line) => {
                line.insert("from".to_owned(), json!(id));
                write(Value::Object(line));
            }
            Err(failure) => failure.write(),
        }
        // Nobody waits any more once the server is being stopped.
        let _ = received.send(Next::Received);
    })?;
    server.start()?;
    write(json!({"ready": true, "address": server.address()}));
    thread::spawn(move || forward_lines(&sender));
    let mut missing = command.count;
    while missing != Some(0) {
        match next.recv().unwrap_or(Next::End) {
            Next::End => break,
            Next::Received => missing = missing.map(|count| count - 1),
            Next::Line(line) => {
                if let Err(failure) = at_server(&server, &line) {
                    failure.write();
                }
            }
        }
    }
    Ok(server.stop()?)
}

fn forward_lines(to: &Sender<Next>) {
    for line in std::io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if to.send(Next::Line(line)).is_err() {
            return;
        }
    }
    let _ = to.send(Next::End);
}

fn at_server(server: &Server, line: &str) -> Result<(), Failure> {
    let request = object(line)?;
    match text(&request, "do") {
        Some("disconnect") => {
            Ok(server.disconnect_client(text(&request, "client").unwrap_or_default())?)
        }
        Some("stat") => write_stat(&request, |name| server.stats().get(name)),
        _ => {
            let message = message(server.event_name(), &request)?;
            Ok(server.send(&message, text(&request, "to"))?)
        }
    }
}

fn connect(command: &Command) -> Result<Client, Error> {
    let client = Client::new(command.transport, &command.event, &command.options()?)?;
    if command.open {
        client.open()?
    } else {
        client.connect()?
    }
    write(json!({"ready": true, "address": client.address()}));
    Ok(client)
}

fn listen(command: Command) -> Result<(), Failure> {
    let client = connect(&command)?;
    receive(&client, command.count.unwrap_or(u64::MAX), command.timeout)
}

fn receive(client: &Client, count: u64, timeout: Duration) -> Result<(), Failure> {
    for _ in 0..count {
        write(Value::Object(described(&client.recv(Some(timeout))?)?));
    }
    Ok(())
}

fn send(command: Command) -> Result<(), Failure> {
    let client = connect(&command)?;
    for line in std::io::stdin().lock().lines() {
        let line = line.map_err(|error| format!("Standard input cannot be read: {error}"))?;
        let request = object(&line)?;
        if text(&request, "do") == Some("stat") {
            write_stat(&request, |name| client.stats().get(name))?;
        } else {
            client.send(&message(client.event_name(), &request)?)?;
        }
    }
    receive(&client, command.count.unwrap_or(0), command.timeout)?;
    Ok(client.disconnect()?)
}

// --- Lines ---------------------------------------------------------------------------------------

fn object(line: &str) -> Result<Map<String, Value>, String> {
    serde_json::from_str(line)
        .map_err(|error| format!("A line of standard input is no request: {error}"))
}

fn text<'a>(request: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    request.get(key)?.as_str()
}

fn message(event: &str, request: &Map<String, Value>) -> Result<Message, Failure> {
    let message_type = match text(request, "type").unwrap_or("data") {
        "data" => MessageType::Data,
        "error" => MessageType::Error,
        "control" => MessageType::Control,
        other => return Err(format!("{other} is no type of message").into()),
    };
    let data = match request.get("data") {
        Some(data) => values::to_msgpack(data)?,
        None => Vec::new(),
    };
    Ok(Message::from_msgpack(event, message_type, &data)?)
}

fn described(message: &Message) -> Result<Map<String, Value>, Failure> {
    let message_type = match message.message_type() {
        MessageType::Data => "data",
        MessageType::Error => "error",
        MessageType::Control => "control",
    };
    let mut line = Map::new();
    line.insert("event".to_owned(), json!(message.event_name()));
    line.insert("type".to_owned(), json!(message_type));
    line.insert("data".to_owned(), values::from_msgpack(message.data())?);
    line.insert("timestamp_ms".to_owned(), json!(message.timestamp_ms()));
    line.insert("timestamp_iso".to_owned(), json!(message.timestamp_iso()));
    Ok(line)
}

fn write_stat(
    request: &Map<String, Value>,
    stat: impl FnOnce(&str) -> Option<u64>,
) -> Result<(), Failure> {
    let name = text(request, "name").unwrap_or_default();
    let value = stat(name).ok_or_else(|| format!("No counter is named '{name}'"))?;
    write(json!({"stat": name, "value": value}));
    Ok(())
}

/// Writes one line; standard output hands it on at its end.
fn write(line: Value) {
    println!("{line}");
}
