#include "kubectl/sort.h"

#include <algorithm>
#include <numeric>

#include "kubectl/errors.h"
#include "kubectl/jsonpath.h"
#include "machinery/quantity.h"

namespace keles::kubectl {
namespace {

bool value_less(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return a.as_double() < b.as_double();
  if (a.is_bool() && b.is_bool()) return !a.as_bool() && b.as_bool();
  if (!a.is_string() || !b.is_string()) return a.kind() < b.kind();
  Result<Quantity> x = Quantity::parse(a.as_string()), y = Quantity::parse(b.as_string());
  if (x.ok() && y.ok()) return *x < *y;
  return a.as_string() < b.as_string();
}

}  // namespace

Result<std::vector<size_t>> sorted_by(const std::vector<const Value*>& objects,
                                      const std::string& expression) {
  TRY_ASSIGN(relaxed, JsonPath::relaxed(expression));
  TRY_ASSIGN(path, JsonPath::parse(relaxed));
  std::vector<const Value*> keys;
  bool any = false;
  for (const Value* o : objects) {
    TRY_ASSIGN(found, path.find(*o));
    bool has = !found.empty() && !found[0].empty();
    keys.push_back(has ? found[0][0] : nullptr);
    any = any || has;
  }
  if (!any && !objects.empty()) {
    return failure("couldn't find any field with path \"" + relaxed + "\" in the list of objects");
  }
  std::vector<size_t> order(objects.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&keys](size_t a, size_t b) {
    if (!keys[a] || !keys[b]) return !keys[a] && keys[b];
    return value_less(*keys[a], *keys[b]);
  });
  return order;
}

}  // namespace keles::kubectl
