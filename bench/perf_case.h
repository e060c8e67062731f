// Workloads of upstream's scheduler_perf: performance-config.yaml files with their templates, as
// they lie in a folder. Values; errors end the program with a message (this is a benchmark).
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "machinery/value.h"

namespace keles::bench {

struct PerfCase {
  std::string name;      // TestCase/Workload
  std::string folder;    // where its file lies: template paths start there
  double threshold = 0;  // pods per second that upstream demands on its own machine; 0: none
  std::shared_ptr<const Document> file;
  Value test, workload;

  const Value& operations() const { return test["workloadTemplate"]; }
  // `count`, or the parameter that `countParam` names; `otherwise` when neither is there.
  int64_t count(const Value& op, int64_t otherwise = 0) const;
  // The text of a template file, named by `op`'s `field`; "" when it names none.
  std::string text(const Value& op, std::string_view field) const;
};

// Those whose name contains `what` ("" for all), in the order of files and lines.
std::vector<PerfCase> find_cases(const std::string& folder, std::string_view what);

// The template's actions ({{ .Index }}, {{ Mod .Index 12 }}, {{ DivideInt 30000 .Count }}) filled
// in.
std::string render(const std::string& text, int64_t index, int64_t count);

// One YAML object. `Document` holds it.
Document parse_object(const std::string& yaml);

}  // namespace keles::bench
