#include "kubectl/jsonpath.h"

#include <utility>

#include "kubectl/errors.h"

namespace keles::kubectl {
namespace {

template <class T>
Result<T> own(Result<T> r) {
  if (!r.ok()) return failure(r.status().message());
  return r;
}

}  // namespace

Result<JsonPath> JsonPath::parse(std::string_view text) {
  TRY_ASSIGN(path, own(keles::JsonPath::parse(text)));
  JsonPath out;
  out.path_ = std::move(path);
  return out;
}

Result<std::string> JsonPath::relaxed(std::string_view expression) {
  return own(keles::JsonPath::relaxed(expression));
}

Result<std::string> JsonPath::execute(const Value& data) const { return own(path_.execute(data)); }

Result<std::vector<std::vector<const Value*>>> JsonPath::find(const Value& data) const {
  return own(path_.find(data));
}

}  // namespace keles::kubectl
