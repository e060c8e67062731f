// YAML as Kubernetes reads and writes it: libyaml's events, YAML 1.1 scalars resolved as upstream
// does (`yes`, `on`, `y` are true, 0777 is octal, 1_000 is 1000; times stay text), anchors, aliases
// and merge keys. JSON is YAML too. Pure functions, any thread.
//
// Bounds: 32 MiB of text, 500 levels, 2 million nodes of which 100,000 may come from aliases.
// Errors: "error converting YAML to JSON: yaml: line 3: mapping values are not allowed ...".
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/value.h"

namespace keles {

struct YamlOptions {
  // Where keys that a map holds twice are reported ("line 3: key \"a\" already set in map"; the
  // last one counts). Null: they are an error.
  std::vector<std::string>* duplicates = nullptr;
  // Values (not null) stay the text that is written: `yes`, `1.30` and `0x10` are strings.
  bool scalars_as_text = false;
};

// The first document; null when there is none.
Result<Document> parse_yaml(std::string_view text, YamlOptions options = {});
// Every document that is not empty. At most 10,000. JSON objects may follow each other with nothing
// between them, and tabs may stand before the first.
Result<std::vector<Document>> parse_yaml_all(std::string_view text, YamlOptions options = {});

// As `kubectl get -o yaml` prints it: keys sorted, lists not indented, texts of several lines as
// `|`, lines folded at 80 columns. Ends in a newline.
std::string write_yaml(const Value& v);

}  // namespace keles
