//! What kubectl asks the program `kubectl_complete-appmig` on its PATH when somebody presses Tab: the words so far,
//! the last of them unfinished, for lines of what it could be and, at the end, what a shell does with them.

use std::{
    ffi::{OsStr, OsString},
    fmt::Debug,
    io::Write as _,
    time::Duration,
};

use clap::CommandFactory as _;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate, complete};
use kube::{Resource, ResourceExt as _, api::ListParams, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;

use super::{Arguments, Place};
use crate::{
    api::v1alpha1::{AppMigration, K2KReplicator},
    printable::printable,
};

/// The name under which the binary answers kubectl.
pub const PROGRAM: &str = "kubectl_complete-appmig";

/// Whoever has pressed Tab does not wait for a server any longer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Cobra's directive: offer no files besides.
const NO_FILES: &str = ":4";

/// Prints what the last word could be.
pub fn run(words: impl IntoIterator<Item = OsString>) -> Result<(), Box<dyn std::error::Error>> {
    let mut words = vec![OsString::from(super::PROGRAM)].into_iter().chain(words).collect::<Vec<_>>();
    if words.len() == 1 {
        words.push(OsString::new());
    }
    let last = words.len() - 1;
    let is_option = |word: &OsStr| word.as_encoded_bytes().starts_with(b"-");
    let asks_for_options = is_option(&words[last]);
    let mut command =
        with_names::<AppMigration>(Arguments::command(), &["status", "confirm", "plan"], "name", &words);
    command = with_names::<K2KReplicator>(command, &["candidates"], "replicator", &words);
    let mut out = std::io::stdout().lock();
    let mut found = complete(&mut command, words, last, None)?;
    // As kubectl's own commands do: options where one is begun.
    found.retain(|candidate| asks_for_options || !is_option(candidate.get_value()));
    for found in found {
        let help = found.get_help().map(ToString::to_string).unwrap_or_default();
        let help = help.lines().next().unwrap_or_default();
        writeln!(out, "{}\t{}", printable(&found.get_value().to_string_lossy()), printable(help))?;
    }
    writeln!(out, "{NO_FILES}")?;
    Ok(())
}

/// The commands with an argument that is the name of an object.
fn with_names<K>(command: clap::Command, of: &[&str], argument: &str, words: &[OsString]) -> clap::Command
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    of.iter().fold(command, |command, name| {
        let place = Place { namespace: option(words, "namespace"), context: option(words, "context") };
        let candidates = ArgValueCandidates::new(move || names::<K>(&place));
        command.mut_subcommand(name, |c| c.mut_arg(argument, |a| a.add(candidates)))
    })
}

/// What there is on the server. Nothing where it does not tell: Tab is no place for an error.
fn names<K>(place: &Place) -> Vec<CompletionCandidate>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug + DeserializeOwned,
{
    let listed = async {
        let server = place.server().await.ok()?;
        server.api::<K>().list_metadata(&ListParams::default()).await.ok()
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Vec::new();
    };
    let listed = runtime.block_on(async { tokio::time::timeout(PATIENCE, listed).await.ok().flatten() });
    listed.into_iter().flatten().map(|object| CompletionCandidate::new(object.name_any())).collect()
}

/// The value of an option among the words, `-n shop`, `--namespace shop` or `--namespace=shop`.
fn option(words: &[OsString], name: &str) -> Option<String> {
    let words: Vec<&str> = words.iter().filter_map(|word| word.to_str()).collect();
    let (long, short) = (format!("--{name}"), format!("-{}", &name[..1]));
    words.iter().enumerate().find_map(|(index, word)| {
        let is_it = *word == long || *word == short && name == "namespace";
        if is_it { words.get(index + 1).copied() } else { word.strip_prefix(&format!("{long}=")) }
            .map(ToOwned::to_owned)
    })
}
