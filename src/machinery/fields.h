// Field selectors: `spec.nodeName=n1,status.phase!=Running`. Errors are upstream's. Values; any
// thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"

namespace keles {

class FieldSelector {
 public:
  struct Term {
    std::string path, value;
    bool equal = true;
  };
  FieldSelector() = default;  // matches everything
  // At most 64 KiB. `\` escapes `\`, `,` and `=`.
  static Result<FieldSelector> parse(std::string_view text);

  // Every term names metadata.name, metadata.namespace or one of the kind's selectable fields.
  Status validate(const KindDesc& kind) const;

  // `field` is read by its dotted path; an absent bool is "false", an absent number "0". A kind
  // whose fields are read otherwise passes `read`.
  using Reader = std::string (*)(const Value& object, std::string_view path);
  bool matches(const KindDesc& kind, const Value& object, Reader read = nullptr) const;

  bool empty() const { return terms_.empty(); }
  const std::vector<Term>& terms() const { return terms_; }
  // The value that `path` must have ("metadata.name"); null when there is no such term.
  const std::string* exact(std::string_view path) const;
  std::string to_string() const;

 private:
  std::vector<Term> terms_;
};

// The text of the field at `path`, as field selectors compare it.
std::string selectable_text(const KindDesc& kind, const Value& object, std::string_view path);

}  // namespace keles
