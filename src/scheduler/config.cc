#include "scheduler/config.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <utility>

#include "machinery/codec_json.h"
#include "machinery/codec_yaml.h"
#include "machinery/config_file.h"
#include "machinery/time.h"
#include "scheduler/extenders/options.h"
#include "scheduler/plugins/plugins.h"

namespace keles::scheduler {
namespace {

constexpr std::string_view kVersion = "kubescheduler.config.k8s.io/v1";

struct NamedPoint {
  std::string_view field;
  Point point;
};
constexpr NamedPoint kPoints[] = {{"preEnqueue", kPreEnqueue},
                                  {"queueSort", kQueueSort},
                                  {"preFilter", kPreFilter},
                                  {"filter", kFilter},
                                  {"postFilter", kPostFilter},
                                  {"preScore", kPreScore},
                                  {"score", kScore},
                                  {"reserve", kReserve},
                                  {"permit", kPermit},
                                  {"preBind", kPreBind},
                                  {"bind", kBind},
                                  {"postBind", kPostBind}};

struct Enabled {
  std::string name;
  int weight = 0;  // 0: not given
};

std::set<std::string> disabled_in(const Value& set) {
  std::set<std::string> out;
  for (const Value& p : set["disabled"].items()) out.emplace(p["name"].as_string());
  return out;
}

std::vector<Enabled> enabled_in(const Value& set) {
  std::vector<Enabled> out;
  for (const Value& p : set["enabled"].items())
    out.push_back({std::string(p["name"].as_string()), static_cast<int>(p["weight"].as_int())});
  return out;
}

bool contains(const std::vector<Enabled>& list, const std::string& name) {
  return std::any_of(list.begin(), list.end(), [&](const Enabled& e) { return e.name == name; });
}

int weight_of(const Enabled& e) {
  if (e.weight > 0) return e.weight;
  const PluginKind* kind = find_plugin_kind(e.name);
  return kind && kind->weight > 0 ? kind->weight : 1;
}

// What stands at every point: the default profile's, less what is disabled; one that is enabled
// again gets its new weight where it stood.
std::vector<Enabled> merge_multi_point(const Value& set) {
  const std::set<std::string> disabled = disabled_in(set);
  std::vector<Enabled> own = enabled_in(set), out;
  std::set<std::string> taken;
  for (const PluginKind& kind : plugin_kinds()) {
    const std::string name(kind.name);
    if (disabled.contains("*") || disabled.contains(name)) continue;
    auto again =
        std::find_if(own.begin(), own.end(), [&](const Enabled& e) { return e.name == name; });
    out.push_back(again == own.end() ? Enabled{name, kind.weight} : *again);
    taken.insert(name);
  }
  for (Enabled& e : own)
    if (taken.insert(e.name).second) out.push_back(std::move(e));
  return out;
}

// At each point: what is enabled there and everywhere, what is enabled there alone, and the rest
// of what is enabled everywhere.
Layout layout_of(const Value& plugins) {
  const std::vector<Enabled> everywhere = merge_multi_point(plugins["multiPoint"]);
  Layout out;
  for (const NamedPoint& p : kPoints) {
    const Value& set = plugins[p.field];
    const std::set<std::string> disabled = disabled_in(set);
    const std::vector<Enabled> here = enabled_in(set);
    auto stand = [&](const Enabled& e) {
      out.entries.push_back({e.name, static_cast<uint32_t>(p.point), weight_of(e)});
    };
    for (const Enabled& e : here)
      if (contains(everywhere, e.name)) stand(e);
    for (const Enabled& e : here)
      if (!contains(everywhere, e.name)) stand(e);
    if (disabled.contains("*")) continue;
    for (const Enabled& e : everywhere)
      if (!disabled.contains(e.name) && !contains(here, e.name)) stand(e);
  }
  return out;
}

// An error about a text that was cut out of `file` at `field`: "CUT:LINE: FIELD: what".
Status moved(const ConfigFile& file, const std::string& field, std::string_view cut,
             std::string_view message) {
  FieldErrors errors;
  while (!message.empty()) {
    std::string_view line = message.substr(0, message.find('\n'));
    message.remove_prefix(std::min(message.size(), line.size() + 1));
    if (line.starts_with(cut)) line.remove_prefix(cut.size());
    while (!line.empty() &&
           (line[0] == ':' || line[0] == ' ' || std::isdigit(static_cast<unsigned char>(line[0]))))
      line.remove_prefix(1);
    const size_t colon = line.find(": ");
    std::string at = field;
    if (colon != std::string_view::npos) {
      at += "." + std::string(line.substr(0, colon));
      line.remove_prefix(colon + 2);
    }
    errors.push_back({"FieldValueInvalid", std::string(line), at});
  }
  return file.check(errors);
}

Status read_args(const ConfigFile& file, const Value& list, const std::string& at,
                 std::map<std::string, DocumentPtr>* out) {
  size_t i = 0;
  for (const Value& one : list.items()) {
    const std::string here = at + "[" + std::to_string(i++) + "]";
    const std::string name(one["name"].as_string()), kind = name + "Args";
    if (!find_plugin_kind(name)) return file.error(here + ".name", "there is no such plugin");
    if (out->contains(name)) return file.error(here + ".name", "Duplicate value: \"" + name + "\"");
    if (!find_kind(kVersion, kind))
      return file.error(here + ".args", "the plugin takes no arguments");
    Document text;
    text.root = Value::map();
    text.root.set(text.arena, "apiVersion", Value::string(kVersion));
    text.root.set(text.arena, "kind", Value::string(kind));
    for (const Member& m : one["args"].members()) text.root.set(text.arena, m.key(), m.value);
    constexpr const char* kCut = "args";
    auto args = ConfigFile::parse(kCut, write_yaml(text.root), {kVersion, kind});
    if (!args.ok()) return moved(file, here + ".args", kCut, args.status().message());
    auto held = std::make_shared<ConfigFile>(std::move(*args));
    auto copy = parse_yaml(write_yaml(held->root()));
    if (!copy.ok()) return copy.status();
    (*out)[name] = std::make_shared<const Document>(std::move(*copy));
  }
  return {};
}

Status check_plugins(const ConfigFile& file, const Value& plugins, const std::string& at) {
  FieldErrors errors;
  for (const Member& point : plugins.members()) {
    for (std::string_view which : {"enabled", "disabled"}) {
      size_t i = 0;
      std::set<std::string> seen;
      for (const Value& p : point.value[which].items()) {
        const std::string here = at + "." + std::string(point.key()) + "." + std::string(which) +
                                 "[" + std::to_string(i++) + "].name";
        const std::string name(p["name"].as_string());
        const bool all = name == "*" && which == "disabled";
        if (!all && !find_plugin_kind(name))
          errors.push_back({"FieldValueInvalid", "there is no plugin \"" + name + "\"", here});
        if (!seen.insert(name).second)
          errors.push_back({"FieldValueDuplicate", "Duplicate value: \"" + name + "\"", here});
      }
    }
  }
  return file.check(errors);
}

Result<ProfileOptions> read_profile(const ConfigFile& file, const Value& p, const std::string& at,
                                    bool only_one) {
  ProfileOptions out;
  if (!p["schedulerName"].is_null()) {
    out.name = p["schedulerName"].as_string();
  } else if (!only_one) {
    out.name.clear();
  }
  if (out.name.empty()) return file.error(at + ".schedulerName", "Required value");
  if (!p["percentageOfNodesToScore"].is_null())
    out.percentage = static_cast<int>(p["percentageOfNodesToScore"].as_int());
  TRY(check_plugins(file, p["plugins"], at + ".plugins"));
  out.layout = layout_of(p["plugins"]);
  TRY(read_args(file, p["pluginConfig"], at + ".pluginConfig", &out.args));
  auto args_of = [&out](std::string_view plugin) {
    auto found = out.args.find(std::string(plugin));
    return found == out.args.end() ? Value() : found->second->root;
  };
  auto made = make_profile(out.name, out.layout, args_of, nullptr);
  if (!made.ok()) return file.error(at, made.status().message());
  if (!(*made)->has(kQueueSort))
    return file.error(at + ".plugins.queueSort", "one queue sort plugin is required");
  if (!(*made)->has(kBind))
    return file.error(at + ".plugins.bind", "at least one bind plugin is needed");
  return out;
}

// Resources that the extenders alone look after: they take the place of what NodeResourcesFit was
// told to pass over.
Status leave_to_extenders(const std::vector<std::string>& resources, ProfileOptions* profile) {
  if (resources.empty()) return {};
  constexpr const char* kArgs = "NodeResourcesFitArgs";
  DocumentPtr& held = profile->args["NodeResourcesFit"];
  std::string text = held ? write_yaml(held->root)
                          : "apiVersion: " + std::string(kVersion) + "\nkind: " + kArgs + "\n";
  TRY_ASSIGN(args, ConfigFile::parse("NodeResourcesFit", std::move(text), {kVersion, kArgs}));
  TRY_ASSIGN(copy, parse_yaml(write_yaml(args.root())));
  Value& list = copy.root.set(copy.arena, "ignoredResources", Value::list());
  for (const std::string& name : resources)
    list.append(copy.arena, Value::string(copy.arena.copy(name)));
  held = std::make_shared<const Document>(std::move(copy));
  return {};
}

Duration duration_of(const Value& v, Duration otherwise) {
  auto d = parse_duration(v.as_string());
  return d.ok() ? *d : otherwise;
}

Result<SchedulerConfig> read(const ConfigFile& file) {
  const Value& root = file.root();
  SchedulerConfig out;
  out.warnings = file.warnings();
  SchedulerOptions& o = out.options;
  o.percentage_of_nodes_to_score = static_cast<int>(root["percentageOfNodesToScore"].as_int());
  const int64_t initial = root["podInitialBackoffSeconds"].as_int();
  const int64_t most = root["podMaxBackoffSeconds"].as_int();
  if (most < initial) {
    return file.error("podMaxBackoffSeconds",
                      "must be greater than or equal to podInitialBackoffSeconds");
  }
  o.initial_backoff = Duration(1s) * initial;
  o.max_backoff = Duration(1s) * most;
  TRY_ASSIGN(extenders, read_extenders(file, root["extenders"]));
  o.extenders = std::move(extenders.extenders);
  const auto profiles = root["profiles"].items();
  if (!profiles.empty()) o.profiles.clear();
  std::set<std::string> names;
  for (size_t i = 0; i < profiles.size(); ++i) {
    const std::string at = "profiles[" + std::to_string(i) + "]";
    TRY_ASSIGN(profile, read_profile(file, profiles[i], at, profiles.size() == 1));
    if (!names.insert(profile.name).second)
      return file.error(at + ".schedulerName", "Duplicate value: \"" + profile.name + "\"");
    o.profiles.push_back(std::move(profile));
  }
  for (ProfileOptions& p : o.profiles) TRY(leave_to_extenders(extenders.ignored_resources, &p));
  const Value& election = root["leaderElection"];
  out.leader_elect = election["leaderElect"].is_null() || election["leaderElect"].as_bool();
  out.lease_duration = duration_of(election["leaseDuration"], 15s);
  out.renew_deadline = duration_of(election["renewDeadline"], 10s);
  out.retry_period = duration_of(election["retryPeriod"], 2s);
  out.lease_name = election["resourceName"].as_string();
  out.lease_namespace = election["resourceNamespace"].as_string();
  const Value& connection = root["clientConnection"];
  out.kubeconfig = connection["kubeconfig"].as_string();
  if (!connection["qps"].is_null()) out.requests_per_second = connection["qps"].as_double();
  if (!connection["burst"].is_null()) out.burst = connection["burst"].as_int();
  out.json = to_json(root);
  if (out.leader_elect && out.lease_duration <= out.renew_deadline)
    return file.error("leaderElection.leaseDuration", "must be greater than RenewDeadline");
  return out;
}

}  // namespace

Result<SchedulerConfig> parse_scheduler_config(const std::string& name, const std::string& text) {
  TRY_ASSIGN(file, ConfigFile::parse(name, text, {kVersion, "KubeSchedulerConfiguration"}));
  return read(file);
}

Result<SchedulerConfig> read_scheduler_config(const std::string& path) {
  TRY_ASSIGN(file, ConfigFile::read(path, {kVersion, "KubeSchedulerConfiguration"}));
  return read(file);
}

}  // namespace keles::scheduler
