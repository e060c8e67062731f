#include "kubectl/set.h"
#include "kubectl/verbs.h"
#include "machinery/labels.h"

namespace keles::kubectl {
namespace {

bool is_equality(const LabelRequirement& r) {
  using Op = LabelRequirement::Op;
  return r.op == Op::kEquals || r.op == Op::kDoubleEquals;
}

// "[{a In [b c]}]"
std::string expressions_text(const Selector& s) {
  using Op = LabelRequirement::Op;
  std::string out;
  for (const LabelRequirement& r : s.requirements()) {
    if (is_equality(r)) continue;
    const char* op = r.op == Op::kIn             ? "In"
                     : r.op == Op::kNotIn        ? "NotIn"
                     : r.op == Op::kNotEquals    ? "NotIn"
                     : r.op == Op::kExists       ? "Exists"
                     : r.op == Op::kDoesNotExist ? "DoesNotExist"
                                                 : "";
    std::string values;
    for (const std::string& v : r.values) values += (values.empty() ? "" : " ") + v;
    out += (out.empty() ? "{" : " {") + r.key + " " + op + " [" + values + "]}";
  }
  return out.empty() ? "" : "[" + out + "]";
}

Status put_selector(Document& d, const Selector& selector) {
  if (d.root["apiVersion"].as_string() != "v1" || d.root["kind"].as_string() != "Service") {
    return failure("setting a selector is only supported for Services");
  }
  if (const std::string others = expressions_text(selector); !others.empty()) {
    return failure("match expression " + others + " not supported on this object");
  }
  Value& into = at(d, "spec.selector");
  into = Value::map();
  for (const LabelRequirement& r : selector.requirements()) {
    into.set(d.arena, d.arena.copy(r.key), text(d, r.values.empty() ? "" : r.values[0]));
  }
  return Status();
}

}  // namespace

Status set_selector(Invocation& in) {
  std::string resource_version;
  Setter setter("selector updated", "");
  setter.also_unchanged = true;
  setter.bare_errors = true;
  setter.query.files.recursive = true;
  setter.add_to(in.flags, "identifying the resource.", false);
  in.flags.add("resource-version", &resource_version,
               "If non-empty, the selectors update will only succeed if this is the current "
               "resource-version for the object. Only valid when specifying a single resource.");
  TRY(in.parse());
  TRY(setter.prepare());
  if (in.args.empty()) return failure("one selector is required");
  setter.query.args.assign(in.args.begin(), in.args.end() - 1);
  Result<Selector> selector = Selector::parse(in.args.back());
  if (!selector.ok()) {
    return failure("couldn't parse the selector string \"" + in.args.back() +
                   "\": " + selector.status().message());
  }
  std::vector<Status> errors;
  TRY_ASSIGN(found, setter.find(in, &errors));
  // In the patch it is a condition; what the object has of it must not look unchanged.
  if (!resource_version.empty()) {
    for (Found& f : found) {
      if (Value* meta = f.object.root.find("metadata")) meta->erase("resourceVersion");
    }
  }
  return setter.change_all(in, found, &errors, [&](Document& d) -> Status {
    if (!resource_version.empty()) put(d, "metadata.resourceVersion", resource_version);
    return put_selector(d, *selector);
  });
}

}  // namespace keles::kubectl
