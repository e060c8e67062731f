// JSONPath templates, as kubectl and the columns of custom resources have them: text with actions
// in braces ({.items[*].metadata.name}, {range ...}{end}, filters [?(@.a=="b")], unions, slices,
// recursive descent). Errors are kubectl's texts, as BadRequest. Values; any thread.
//
// Bounds: 64 KiB of template, 32 levels of nested expressions, 100,000 values at any step, 64 MiB
// of output.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/value.h"

namespace keles {

class JsonPath {
 public:
  static Result<JsonPath> parse(std::string_view text);
  // ".metadata.name", "metadata.name", "{.metadata.name}" -> "{.metadata.name}": the form that
  // custom columns, --sort-by and wait take.
  static Result<std::string> relaxed(std::string_view expression);

  // Missing fields are nothing, or an error ("x is not found").
  void set_allow_missing(bool allow) { allow_missing_ = allow; }

  Result<std::string> execute(const Value& data) const;
  // The values of each action, in order. They live as long as `data` and this template.
  Result<std::vector<std::vector<const Value*>>> find(const Value& data) const;

  struct Node;
  using Nodes = std::vector<Node>;

 private:
  std::shared_ptr<const Nodes> root_;
  bool allow_missing_ = true;
};

// As the template prints it: texts bare, lists and maps as JSON with sorted keys.
std::string jsonpath_text(const Value& v);

}  // namespace keles
