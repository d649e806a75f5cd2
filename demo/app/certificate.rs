//! The certificate of one partition, in words.

use std::io::Read as _;

use serde_json::Value;

use crate::Outcome;

pub fn run(partition: i32) -> Outcome<()> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let plan: Value = serde_json::from_str(&text)?;
    let target = plan["targets"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|target| target["partition"] == partition)
        .ok_or("the plan has no such partition")?;
    let source = &target["sources"][0];
    let record = |name: &str| {
        let record = &source[name];
        if record.is_null() {
            return "none".to_owned();
        }
        format!("offset {:<6} the copy of {}", record["offset"], record["origin"])
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let name = text(&source["topic"]);
    println!("committed on the source   {name}-{partition} at {}", source["committed"]);
    println!("position on the target    {}-{partition} at {}", text(&target["topic"]), target["position"]);
    println!("record below it           {}", record("below"));
    println!("record at it              {}", record("at"));
    println!(
        "verified by               {}, {} records read; complete by {}",
        text(&source["verified"]),
        target["recordsRead"],
        text(&source["provenBy"])
    );
    println!("re-read {}, gap {}, exact {}", source["reread"], source["gap"], source["exact"]);
    Ok(())
}
