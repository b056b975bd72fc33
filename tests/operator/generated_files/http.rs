//! The manual's text about the management API and the metrics, taken from a running server.

use std::collections::BTreeMap;

use serde_json::Value;

use super::commands::{escaped, sentence};
use crate::harness::Server;

/// The methods that a path may have, in the order of the manual.
const METHODS: [&str; 4] = ["get", "put", "post", "delete"];

/// A label with more values than this is listed by name only.
const MOST_VALUES: usize = 20;

/// All operations in the server's description of itself.
fn operations(document: &Value) -> impl Iterator<Item = (String, &Value)> {
    document["paths"].as_object().unwrap().iter().flat_map(|(path, item)| {
        METHODS.iter().filter_map(move |method| {
            let operation = item.get(*method)?;
            Some((format!("{} {path}", method.to_uppercase()), operation))
        })
    })
}

/// The answers of an operation that are refusals, by status.
fn refusals(operation: &Value) -> impl Iterator<Item = (&str, &str)> {
    let responses = operation["responses"].as_object().unwrap().iter();
    responses
        .filter(|(status, _)| *status != "200")
        .map(|(status, answer)| (status.as_str(), answer["description"].as_str().unwrap()))
}

/// How often each refusal occurs. A refusal of one request only is listed there; for the others the status is
/// sufficient.
fn counted(document: &Value) -> BTreeMap<(&str, &str), usize> {
    let mut counted = BTreeMap::new();
    for (_, operation) in operations(document) {
        for refusal in refusals(operation) {
            *counted.entry(refusal).or_default() += 1;
        }
    }
    counted
}

/// Every request: what it does, its parameters, what it answers with, and its own refusals.
pub(crate) fn requests(document: &Value) -> String {
    let counted = counted(document);
    let mut page = String::new();
    for (name, operation) in operations(document) {
        page +=
            &format!(".TP\n.B {}\n{}\n", escaped(&name), sentence(operation["summary"].as_str().unwrap()));
        if let Some(body) = fields(document, &operation["requestBody"]["content"]) {
            page += &format!("Body: {body}.\n");
        }
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
            let [name, text] =
                ["name", "description"].map(|field| escaped(parameter[field].as_str().unwrap()));
            page += &format!(".br\n\\fI{name}\\fR: {text}.\n");
        }
        if let Some(answer) = fields(document, &operation["responses"]["200"]["content"]) {
            page += &format!(".br\nAnswer: {answer}.\n");
        }
        for (status, why) in refusals(operation).filter(|refusal| counted[refusal] == 1) {
            page += &format!(".br\n{status}: {}\n", sentence(why));
        }
    }
    page
}

/// The fields of a JSON body, with those of the rows of a list; `None` if it has none that are known.
fn fields(document: &Value, content: &Value) -> Option<String> {
    let schema = &content["application/json"]["schema"];
    let resolve = |schema: &Value| {
        let name = schema["$ref"].as_str()?.rsplit('/').next()?.to_owned();
        Some(document["components"]["schemas"][name].clone())
    };
    let properties = resolve(schema)?["properties"].as_object()?.clone();
    let listed = properties.iter().map(|(name, property)| {
        let rows = resolve(&property["items"]).and_then(|row| Some(names(row["properties"].as_object()?)));
        let name = format!("\\fI{}\\fR", escaped(name));
        rows.map_or(name.clone(), |rows| format!("{name} (each with {rows})"))
    });
    Some(listed.collect::<Vec<_>>().join(", "))
}

fn names(properties: &serde_json::Map<String, Value>) -> String {
    properties.keys().map(|name| format!("\\fI{}\\fR", escaped(name))).collect::<Vec<_>>().join(", ")
}

/// The meaning of each status that several requests share: its most frequent description.
pub(crate) fn statuses(document: &Value) -> String {
    let mut common: BTreeMap<&str, (usize, &str)> = BTreeMap::new();
    for ((status, why), count) in counted(document).into_iter().filter(|(_, count)| *count > 1) {
        let most = common.entry(status).or_insert((count, why));
        *most = (*most).max((count, why));
    }
    let entry = |(status, (_, why)): (&str, (usize, &str))| format!(".TP\n.B {status}\n{}\n", sentence(why));
    common.into_iter().map(entry).collect()
}

/// Every metric, with its labels, their values, and its help text.
pub(crate) fn metrics(server: &Server) -> String {
    let text = server.get("/metrics").body;
    let mut page = String::new();
    for help in text.lines().filter_map(|line| line.strip_prefix("# HELP ")) {
        let (name, meaning) = help.split_once(' ').unwrap();
        page += &format!(".TP\n.B {}\n{}\n", escaped(name), sentence(meaning));
        let (listed, named): (Vec<_>, Vec<_>) = labels(&text, name)
            .into_iter()
            .partition(|(_, values)| !values.is_empty() && values.len() <= MOST_VALUES);
        for (label, values) in listed {
            page += &format!(".br\n\\fI{}\\fR: {}.\n", escaped(&label), escaped(&values.join(", ")));
        }
        if !named.is_empty() {
            let named: Vec<_> =
                named.iter().map(|(label, _)| format!("\\fI{}\\fR", escaped(label))).collect();
            page += &format!(".br\nLabels: {}.\n", named.join(", "));
        }
    }
    page
}

/// The reasons for which a connection may end.
pub(crate) fn reasons(server: &Server) -> Vec<String> {
    let text = server.get("/metrics").body;
    let labels = labels(&text, "shibudb_connections_closed_total");
    labels.into_iter().flat_map(|(_, values)| values).collect()
}

/// The labels of a metric, in their order, each with its values if those are the same on every server.
fn labels(text: &str, name: &str) -> Vec<(String, Vec<String>)> {
    let mut labels: Vec<(String, Vec<String>)> = Vec::new();
    let samples = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('{')?.split_once('}'));
    for (inner, _) in samples {
        for label in inner.split("\",") {
            let (label, value) = label.split_once("=\"").unwrap();
            let value = value.trim_end_matches('"').to_owned();
            let at = labels.iter().position(|(known, _)| known == label).unwrap_or_else(|| {
                labels.push((label.to_owned(), Vec::new()));
                labels.len() - 1
            });
            if name != "shibudb_build_info" && !labels[at].1.contains(&value) {
                labels[at].1.push(value);
            }
        }
    }
    labels
}
