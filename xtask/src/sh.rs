//! Commands: starts other programs, and prints messages.
//!
//! Everything said goes to stderr, so that stdout stays free for results. Knows nothing of what the programs do.

use std::{
    ffi::{OsStr, OsString},
    fmt::Display,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    thread,
};

use anyhow::{Context, Result, bail};

/// One line of talk. A closed stderr is no reason to stop working.
pub(crate) fn say(text: impl Display) {
    drop(writeln!(io::stderr(), "{text}"));
}

/// One line of result, on stdout.
pub(crate) fn tell(text: impl Display) -> Result<()> {
    writeln!(io::stdout(), "{text}").context("writing to stdout")
}

/// Announces a step of the work.
pub(crate) fn step(text: impl Display) {
    say(format_args!("==> {text}"));
}

/// Where `name` is on PATH. The `sbin` folders count too: they hold `ip` and `bpftool`, and users often lack them.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sbin = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(sbin).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// The command as one could type it, with the variables it sets.
pub(crate) fn shown(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(key, value)| {
        value.map(|value| format!("{}={}", key.to_string_lossy(), value.to_string_lossy().replace('\x1f', " ")))
    });
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    set.chain(words.map(|word| word.to_string_lossy().into_owned())).map(quoted).collect::<Vec<_>>().join(" ")
}

fn quoted(word: String) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./+,:@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) { word } else { format!("'{word}'") }
}

/// Runs to the end with our own stdin, stdout and stderr; a failure names the command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = status(command)?;
    if !status.success() {
        bail!("{status}: {}", shown(command));
    }
    Ok(())
}

/// Like [`run`], for those who want the exit status.
pub(crate) fn status(command: &mut Command) -> Result<ExitStatus> {
    command.status().with_context(|| format!("cannot start {}", shown(command)))
}

/// Runs silently and returns stdout; a failure shows what it wrote to stderr.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("cannot start {}", shown(command)))?;
    if !output.status.success() {
        let reported = String::from_utf8_lossy(&output.stderr);
        bail!("{}: {}\n{}", output.status, shown(command), reported.trim_end());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs, passing both streams on to stderr line by line while keeping them: (status, stdout, stderr).
pub(crate) fn watched(command: &mut Command) -> Result<(ExitStatus, String, String)> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", shown(command)))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (out, err) = thread::scope(|scope| {
        let out = scope.spawn(|| stdout.map(passed_on).unwrap_or_default());
        let err = stderr.map(passed_on).unwrap_or_default();
        (out.join().unwrap_or_default(), err)
    });
    let status = child.wait().with_context(|| format!("waiting for {}", shown(command)))?;
    Ok((status, out, err))
}

fn passed_on(stream: impl Read) -> String {
    let mut captured = String::new();
    for line in BufReader::new(stream).split(b'\n').map_while(io::Result::ok) {
        let line = String::from_utf8_lossy(&line);
        say(&line);
        captured.push_str(&line);
        captured.push('\n');
    }
    captured
}

/// Takes away what `cargo run` added to the environment of this program, which would otherwise leak into the programs
/// it starts: the variables of the package, and library paths of the build folder and of rustup's compiler.
pub(crate) fn without_our_cargo(command: &mut Command) {
    for (name, value) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        let of_package = ["CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_PRIMARY_"];
        if of_package.iter().any(|prefix| name_text.starts_with(prefix)) {
            command.env_remove(&name);
        }
        if name_text == "LD_LIBRARY_PATH" {
            match users_own(&value) {
                Some(rest) => command.env(&name, rest),
                None => command.env_remove(&name),
            };
        }
    }
}

/// Takes away, besides, all that says which compiler to use and how: another cargo than ours is called. Settings of the
/// network and of registries (`CARGO_HOME`, `CARGO_HTTP_*`, ...) stay.
pub(crate) fn without_our_compiler(command: &mut Command) {
    without_our_cargo(command);
    let exact = ["CARGO", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_INCREMENTAL"];
    let prefixes =
        ["RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "RUST_RECURSION", "CARGO_BUILD_", "CARGO_TARGET_", "CARGO_PROFILE_"];
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if exact.contains(&&*text) || prefixes.iter().any(|prefix| text.starts_with(prefix)) {
            command.env_remove(&name);
        }
    }
}

fn users_own(value: &OsStr) -> Option<OsString> {
    let cargos = |folder: &Path| {
        let text = folder.to_string_lossy();
        text.contains("/target/") || text.contains("/toolchains/")
    };
    let rest: Vec<_> = std::env::split_paths(value).filter(|folder| !cargos(folder)).collect();
    if rest.is_empty() { None } else { std::env::join_paths(rest).ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = Command::new("cargo");
        command.args(["build", "a b"]).env("FLAGS", "-x\x1f-y");
        assert_eq!(shown(&command), "'FLAGS=-x -y' cargo build 'a b'");
    }

    #[test]
    fn library_paths_of_cargo_are_dropped() {
        let value = OsStr::new("/p/target/debug/deps:/opt/lib:/home/u/.rustup/toolchains/stable/lib");
        assert_eq!(users_own(value), Some("/opt/lib".into()));
        assert_eq!(users_own(OsStr::new("/p/target/debug/deps")), None);
    }

    #[test]
    fn both_streams_are_kept() {
        let (status, out, err) = watched(Command::new("sh").args(["-c", "echo a; echo b >&2; exit 3"])).unwrap();
        assert_eq!((status.code(), &*out, &*err), (Some(3), "a\n", "b\n"));
    }
}
