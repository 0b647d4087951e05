//! Completion in the shells that are here.

use std::process::{Command, Output};

use tombolo_tests::programs;

fn script(shell: &str) -> String {
    let program = programs().join("tombolo");
    let output = Command::new(program)
        .args(["completion", shell])
        .output()
        .expect("tombolo runs");
    assert!(output.status.success(), "{shell}");
    String::from_utf8(output.stdout).expect("a script is text")
}

fn run(shell: &str, words: &[&str]) -> Output {
    Command::new(shell)
        .args(words)
        .output()
        .expect("the shell runs")
}

/// What bash offers for a line whose last word is to be completed.
fn offered(line: &[&str]) -> Vec<String> {
    let words: Vec<String> = line.iter().map(|word| format!("'{word}'")).collect();
    let (last, before) = (line[line.len() - 1], line[line.len() - 2]);
    let ask = format!(
        "{}\nCOMP_WORDS=({}); COMP_CWORD={}\n_tombolo tombolo '{last}' '{before}'\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"",
        script("bash"),
        words.join(" "),
        line.len() - 1
    );
    let output = run("bash", &["--norc", "-c", &ask]);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_kinds() {
    assert_eq!(offered(&["tombolo", "exp"]), ["explain"]);
    assert_eq!(offered(&["tombolo", "get", "no"]), ["nodes"]);
    assert_eq!(offered(&["tombolo", "describe", "ipp"]), ["ippools"]);
    assert_eq!(offered(&["tombolo", "delete", "end"]), ["endpoints"]);
    assert_eq!(offered(&["tombolo", "explain", "sys"]), ["sysctl"]);
    assert_eq!(offered(&["tombolo", "completion", "f"]), ["fish"]);
    assert_eq!(offered(&["tombolo", "get", "nodes", "-o", "y"]), ["yaml"]);
}

/// The other shells are not everywhere; where they are, they must take their scripts.
#[test]
fn each_shell_takes_its_script() {
    for shell in ["bash", "zsh", "fish"] {
        let text = script(shell);
        assert!(
            text.contains("tombolo") && text.contains("explain"),
            "{shell}"
        );
        let path =
            std::env::temp_dir().join(format!("tombolo-completion-{}.{shell}", std::process::id()));
        std::fs::write(&path, &text).expect("a file is written");
        let is_here = Command::new(shell).arg("--version").output().is_ok();
        let taken = is_here.then(|| run(shell, &["-n", path.to_str().expect("a path of text")]));
        std::fs::remove_file(&path).expect("the file is removed");
        if let Some(output) = taken {
            assert!(
                output.status.success(),
                "{shell}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}
