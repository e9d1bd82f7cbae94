//! Processes that a test starts: what they print is kept, and they never outlive the test.

use std::{
    ffi::OsStr,
    io::{self, BufRead as _, BufReader, Read, Write as _},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, mpsc},
    thread,
    time::Duration,
};

use super::wait;

/// A running process; killed when dropped.
pub(crate) struct Process {
    name: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Arc<Printed>,
    stderr: Arc<Printed>,
}

/// A command that is killed by the kernel when this test process ends, however it ends.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

/// The same as another user, when we are root: some database servers refuse to run as root.
pub(crate) fn command_as(user: &str, program: impl AsRef<OsStr>) -> Command {
    if !is_root() {
        return command(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", user, "--regid", user, "--init-groups", "--pdeathsig", "KILL", "--"])
        .arg(program);
    command
}

pub(crate) fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| {
        let answer = Command::new("id").arg("-u").output().unwrap();
        answer.stdout.trim_ascii() == b"0"
    })
}

/// Runs a command to its end and gives its standard output; fails with what it said otherwise.
pub(crate) fn run(mut command: Command, input: &str) -> String {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(command).unwrap();
    // A program that does not read its input may close it early; its exit code says whether that was wrong.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    assert!(
        output.status.success(),
        "a command ended with {}:\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

impl Process {
    /// `name` is how failures call it.
    pub(crate) fn start(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(command).unwrap_or_else(|error| panic!("{name} does not start: {error}"));
        Self {
            name: name.into(),
            stdin: child.stdin.take(),
            stdout: Printed::of(child.stdout.take().unwrap()),
            stderr: Printed::of(child.stderr.take().unwrap()),
            child,
        }
    }

    pub(crate) fn write(&mut self, text: &str) {
        let stdin = self.stdin.as_mut().expect("the standard input is closed");
        stdin.write_all(text.as_bytes()).and_then(|()| stdin.flush()).unwrap_or_else(|error| {
            panic!("{} does not read: {error}\n{}", self.name, self.stderr.text());
        });
    }

    pub(crate) fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The line of standard output with this number, from 0; waits for it.
    pub(crate) fn line(&self, number: usize) -> String {
        self.stdout.line(number).unwrap_or_else(|| {
            panic!("{} did not print line {number}; it said:\n{}", self.name, self.said());
        })
    }

    /// Everything printed so far, on both streams: here tests look for what must not be there.
    pub(crate) fn said(&self) -> String {
        format!("{}{}", self.stdout.text(), self.stderr.text())
    }

    pub(crate) fn stderr(&self) -> String {
        self.stderr.text()
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal by its short name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &self.child.id().to_string()])
            .status();
        assert!(sent.unwrap().success(), "{} cannot be sent {name}", self.name);
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let name = &self.name;
        let child = &mut self.child;
        let ended = wait::within(wait::PATIENCE, || child.try_wait().unwrap());
        ended.unwrap_or_else(|| panic!("{name} does not end; it said:\n{}", self.said()))
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    #[expect(clippy::print_stdout, reason = "the test's own output, shown only when it fails")]
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            println!("--- {} said:\n{}", self.name, self.said());
        }
    }
}

/// What came on one stream, line by line.
struct Printed {
    state: Mutex<State>,
    more: Condvar,
}

#[derive(Default)]
struct State {
    lines: Vec<String>,
    ended: bool,
}

impl Printed {
    fn of(stream: impl Read + Send + 'static) -> Arc<Self> {
        let printed = Arc::new(Self { state: Mutex::default(), more: Condvar::new() });
        let writer = Arc::clone(&printed);
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while reader.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line)).into_owned();
                line.clear();
                writer.change(|state| state.lines.push(text));
            }
            writer.change(|state| state.ended = true);
        });
        printed
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.more.notify_all();
    }

    fn line(&self, number: usize) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let missing = |state: &mut State| state.lines.len() <= number && !state.ended;
        let (state, _) = self.more.wait_timeout_while(state, wait::PATIENCE, missing).unwrap();
        state.lines.get(number).cloned()
    }

    fn text(&self) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }
}

/// Spawns from one thread that lives as long as this process: the kernel ties a death signal to the *thread* that
/// spawned, and a test's own thread ends before the parts that it shares with others.
fn spawn(command: Command) -> io::Result<Child> {
    type Order = (Command, mpsc::Sender<io::Result<Child>>);
    static ORDERS: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (sender, inbox) = mpsc::channel::<Order>();
        thread::spawn(move || {
            for (mut command, reply) in inbox {
                // The test that asked may have been ended meanwhile.
                let _ = reply.send(command.spawn());
            }
        });
        Mutex::new(sender)
    });
    let (reply, spawned) = mpsc::channel();
    orders.lock().unwrap_or_else(PoisonError::into_inner).send((command, reply)).unwrap();
    spawned.recv_timeout(Duration::from_secs(30)).map_err(io::Error::other)?
}
