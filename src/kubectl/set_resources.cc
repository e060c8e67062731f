#include "base/text_parts.h"
#include "kubectl/set.h"
#include "kubectl/verbs.h"
#include "machinery/quantity.h"

namespace keles::kubectl {
namespace {

using Amounts = std::vector<std::pair<std::string, std::string>>;

// "cpu=200m,memory=512Mi"
Result<Amounts> parse_amounts(std::string_view text) {
  Amounts out;
  for (std::string_view one : split_list(text)) {
    const size_t eq = one.find('=');
    if (eq == one.npos || one.find('=', eq + 1) != one.npos) {
      return failure("Invalid argument syntax " + std::string(one) +
                     ", expected <resource>=<value>");
    }
    Result<std::string> amount = canonical_quantity(one.substr(eq + 1));
    if (!amount.ok()) return failure(amount.status().message());
    out.emplace_back(one.substr(0, eq), *amount);
  }
  return out;
}

void put_amounts(Document& d, Value& container, std::string_view list, const Amounts& amounts) {
  if (amounts.empty()) return;
  Value& resources = container.get_or_add(d.arena, "resources");
  if (!resources.is_map()) resources = Value::map();
  Value& into = resources.get_or_add(d.arena, list);
  if (!into.is_map()) into = Value::map();
  for (const auto& [name, amount] : amounts) {
    into.set(d.arena, d.arena.copy(name), text(d, amount));
  }
}

}  // namespace

Status set_resources(Invocation& in) {
  std::string containers = "*", limits_text, requests_text;
  Setter setter("resource requirements updated",
                "failed to patch resources update to pod template ");
  setter.add_to(in.flags, "identifying the resource to get from a server.");
  in.flags.add("containers", &containers,
               "The names of containers in the selected pod templates to change, all containers "
               "are selected by default - may use wildcards",
               'c');
  in.flags.add("limits", &limits_text,
               "The resource requirement limits for this container. For example, "
               "'cpu=100m,memory=256Mi'.");
  in.flags.add("requests", &requests_text,
               "The resource requirement requests for this container. For example, "
               "'cpu=100m,memory=256Mi'.");
  TRY(in.parse());
  setter.query.args = in.args;
  TRY(setter.no_arguments_locally());
  std::vector<Status> errors;
  TRY_ASSIGN(found, setter.find(in, &errors));
  TRY(setter.prepare());
  if (limits_text.empty() && requests_text.empty()) {
    return failure(
        "you must specify an update to requests or limits (in the form of --requests/--limits)");
  }
  TRY_ASSIGN(limits, parse_amounts(limits_text));
  TRY_ASSIGN(requests, parse_amounts(requests_text));
  return setter.change_all(in, found, &errors, [&](Document& d) -> Status {
    TRY_ASSIGN(spec, editable_pod_spec(d));
    const std::vector<Value*> chosen = select_containers(*spec, containers);
    if (chosen.empty()) {
      errors.push_back(failure("error: unable to find container named " + containers));
    }
    for (Value* c : chosen) {
      put_amounts(d, *c, "limits", limits);
      put_amounts(d, *c, "requests", requests);
    }
    return Status();
  });
}

}  // namespace keles::kubectl
