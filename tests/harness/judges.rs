//! Objects as tools judge them that deploy from Git: Argo CD by its Lua scripts, Flux and Helm by kstatus, Flux by the CEL of
//! `healthCheckExprs`, as those stand in `deploy/`.

use std::{
    env,
    io::Write as _,
    process::{Command, Stdio},
    thread,
};

use serde_json::Value;

/// One line of the judges' program for each object.
pub fn judged(objects: &[Value]) -> Vec<Value> {
    ask("GITOPS", &["argocd/argocd-cm.yaml", "flux/migration.yaml"], objects)
}

/// What Argo CD itself says of each object, once it has understood our Applications; none where its program is not built.
pub fn judged_by_argo(objects: &[Value]) -> Option<Vec<Value>> {
    let files = ["argocd/argocd-cm.yaml", "argocd/application.yaml", "argocd/operator.yaml"];
    env::var_os("ARGO").map(|_| ask("ARGO", &files, objects))
}

/// The lines of a program that `tests/stack/stack setup` has built, which takes files of `deploy/`.
fn ask(program: &str, files: &[&str], objects: &[Value]) -> Vec<Value> {
    let deploy = format!("{}/deploy", env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new(env::var(program).expect("tests/stack/stack setup gitops"))
        .args(files.iter().map(|file| format!("{deploy}/{file}")))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let lines: Vec<String> = objects.iter().map(ToString::to_string).collect();
    let writer = thread::spawn(move || stdin.write_all(lines.join("\n").as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
