// Go's text/template, as kubectl has it for -o go-template: over trees, with kubectl's functions
// `exists` and `base64decode`. Errors are Go's texts. Values; any thread.
//
// Bounds: 64 KiB of template, 200 levels of nesting, 200 of templates that call each other, ten
// million steps, 64 MiB of output and of texts made on the way. Complex constants are not taken.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"
#include "machinery/value.h"

namespace keles::kubectl {

struct TemplateSet;

class GoTemplate {
 public:
  // `name` is what errors call it.
  static Result<GoTemplate> parse(std::string_view name, std::string_view text);
  // Whether a key that a map lacks is an error, or no value.
  void set_allow_missing(bool allow) { allow_missing_ = allow; }
  // What was written before an error stands in `out` too.
  Status execute(const Value& data, std::string* out) const;

 private:
  std::shared_ptr<const TemplateSet> set_;
  bool allow_missing_ = true;
};

}  // namespace keles::kubectl
