#include "node/pods/env.h"

#include <algorithm>
#include <cctype>

#include "base/encoding.h"
#include "base/host_port.h"
#include "machinery/quantity.h"
#include "node/cgroup/resources.h"
#include "node/pods/env_file.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::Pod;
using api::core_v1::Service;

std::string expand(std::string_view text,
                   const std::function<std::optional<std::string>(std::string_view)>& lookup) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '$' || i + 1 == text.size()) {
      out.push_back(text[i]);
    } else if (text[i + 1] == '$') {
      out.push_back('$');
      ++i;
    } else if (text[i + 1] == '(') {
      size_t end = text.find(')', i + 2);
      if (end == std::string_view::npos) {
        out.append("$(");
        ++i;
        continue;
      }
      std::string_view name = text.substr(i + 2, end - i - 2);
      auto value = lookup(name);
      if (value) {
        out.append(*value);
      } else {
        out.append(text.substr(i, end + 1 - i));
      }
      i = end;
    } else {
      out.push_back('$');
    }
  }
  return out;
}

namespace {

// metadata.labels['key'] -> key.
std::optional<std::string_view> subscript(std::string_view path, std::string_view map) {
  if (!path.starts_with(map) || !path.ends_with("']")) return std::nullopt;
  path.remove_prefix(map.size());
  if (!path.starts_with("['")) return std::nullopt;
  path.remove_prefix(2);
  path.remove_suffix(2);
  return path;
}

// key="value" lines in the order of their keys.
std::string format_map(const Map<std::string_view>& m) {
  std::map<std::string_view, std::string_view> sorted;
  for (auto e : m) sorted[e.key] = e.value;
  std::string out;
  for (const auto& [k, v] : sorted) {
    if (!out.empty()) out.push_back('\n');
    out += std::string(k) + "=" + quoted(v);
  }
  return out;
}

std::string first(const std::vector<std::string>& list) {
  return list.empty() ? std::string() : list.front();
}
std::string joined(const std::vector<std::string>& list) {
  std::string out;
  for (const std::string& s : list) out += (out.empty() ? "" : ",") + s;
  return out;
}

}  // namespace

Result<std::string> field_value(const Pod& pod, std::string_view path, const PodFacts& facts) {
  auto meta = pod.metadata();
  if (path == "metadata.name") return std::string(meta.name());
  if (path == "metadata.namespace") return std::string(meta.namespace_());
  if (path == "metadata.uid") return std::string(meta.uid());
  if (path == "metadata.labels") return format_map(meta.labels());
  if (path == "metadata.annotations") return format_map(meta.annotations());
  if (auto key = subscript(path, "metadata.labels")) return std::string(meta.labels().get(*key));
  if (auto key = subscript(path, "metadata.annotations"))
    return std::string(meta.annotations().get(*key));
  if (path == "spec.nodeName") return facts.node_name;
  if (path == "spec.serviceAccountName") return std::string(pod.spec().service_account_name());
  if (path == "status.hostIP") return first(facts.host_ips);
  if (path == "status.hostIPs") return joined(facts.host_ips);
  if (path == "status.podIP") return first(facts.pod_ips);
  if (path == "status.podIPs") return joined(facts.pod_ips);
  return Status::bad_request("unsupported fieldPath: " + std::string(path));
}

Result<std::string> resource_value(const Container& c, std::string_view resource,
                                   std::string_view divisor, const PodFacts& facts) {
  size_t dot = resource.find('.');
  std::string_view kind = resource.substr(0, dot);
  std::string_view name = dot == std::string_view::npos ? "" : resource.substr(dot + 1);
  bool limit = kind == "limits";
  if (name.empty() || (!limit && kind != "requests"))
    return Status::bad_request("unsupported container resource : " + std::string(resource));
  std::string_view text =
      limit ? c.resources().limits().get(name) : c.resources().requests().get(name);
  if (text.empty() && limit && name == "cpu") text = facts.allocatable_cpu;
  if (text.empty() && limit && name == "memory") text = facts.allocatable_memory;
  bool has_divisor = !divisor.empty() && !Quantity::parse_or_zero(divisor).is_zero();
  Quantity value = Quantity::parse_or_zero(text);
  Quantity by = has_divisor ? Quantity::parse_or_zero(divisor) : Quantity::from_int(1);
  bool cpu = name == "cpu";
  int64_t a = cpu ? value.milli_value() : value.value();
  int64_t b = std::max<int64_t>(cpu ? by.milli_value() : by.value(), 1);
  return std::to_string(a / b + (a % b > 0 ? 1 : 0));
}

namespace {

std::string env_name(std::string_view s) {
  std::string out(s);
  for (char& ch : out)
    ch = ch == '-' || ch == '.' ? '_'
                                : static_cast<char>(std::toupper(static_cast<unsigned char>(ch)));
  return out;
}

void add_service(const Service& s, std::map<std::string, std::string>& out) {
  std::string name = env_name(s.metadata().name()), host(s.spec().cluster_ip());
  auto ports = s.spec().ports();
  if (ports.empty()) return;
  out[name + "_SERVICE_HOST"] = host;
  out[name + "_SERVICE_PORT"] = std::to_string(ports[0].port());
  std::string shown = url_host(host);
  bool first = true;
  for (auto p : ports) {
    if (!p.name().empty())
      out[name + "_SERVICE_PORT_" + env_name(p.name())] = std::to_string(p.port());
    std::string protocol(p.protocol().empty() ? "TCP" : p.protocol()), lower = protocol;
    std::transform(lower.begin(), lower.end(), lower.begin(),
                   [](unsigned char ch) { return static_cast<char>(std::tolower(ch)); });
    std::string port = std::to_string(p.port()), url = lower + "://" + shown + ":" + port;
    if (first) out[name + "_PORT"] = url;
    first = false;
    std::string prefix = name + "_PORT_" + port + "_" + protocol;
    out[prefix] = url;
    out[prefix + "_PROTO"] = lower;
    out[prefix + "_PORT"] = port;
    out[prefix + "_ADDR"] = host;
  }
}

}  // namespace

std::map<std::string, std::string> service_environment(const std::vector<Ref<Service>>& services,
                                                       std::string_view ns, bool links) {
  std::map<std::string, std::string> out;
  for (const auto& s : services) {
    std::string_view ip = s->spec().cluster_ip();
    if (ip.empty() || ip == "None") continue;
    bool master = s->metadata().namespace_() == "default" && s->metadata().name() == "kubernetes";
    bool own = links && s->metadata().namespace_() == ns;
    if (master || own) add_service(*s, out);
  }
  return out;
}

namespace {

class EnvironmentBuilder {
 public:
  EnvironmentBuilder(const Pod& pod, const Container& c, const DataLookup& data,
                     const FileLookup& files, const PodFacts& facts,
                     const std::map<std::string, std::string>& services)
      : pod_(pod), c_(c), data_(data), files_(files), facts_(facts), services_(services) {}

  void set(std::string name, std::string value) {
    auto [it, fresh] = index_.emplace(name, out_.size());
    if (fresh) {
      out_.emplace_back(std::move(name), std::move(value));
    } else {
      out_[it->second].second = std::move(value);
    }
  }
  std::optional<std::string> get(std::string_view name) const {
    auto it = index_.find(std::string(name));
    if (it == index_.end()) return std::nullopt;
    return out_[it->second].second;
  }

  Status add_from() {
    for (auto from : c_.env_from()) {
      bool secret = static_cast<bool>(from.secret_ref());
      std::string name(secret ? from.secret_ref().name() : from.config_map_ref().name());
      bool optional = secret ? from.secret_ref().optional() : from.config_map_ref().optional();
      auto data = data_(secret, name);
      if (!data && optional) continue;
      if (!data) return missing(secret, name);
      for (auto& [k, v] : *data) set(std::string(from.prefix()) + k, v);
    }
    return {};
  }

  Status add_one(const api::core_v1::EnvVar& e) {
    std::string name(e.name());
    auto from = e.value_from();
    if (!from) {
      set(name, expand(e.value(), [this](std::string_view n) { return visible(n); }));
      return {};
    }
    if (auto f = from.field_ref()) {
      TRY_ASSIGN(v, field_value(pod_, f.field_path(), facts_));
      set(name, v);
    } else if (auto r = from.resource_field_ref()) {
      TRY_ASSIGN(
          v, resource_value(container_for(r.container_name()), r.resource(), r.divisor(), facts_));
      set(name, v);
    } else if (auto m = from.config_map_key_ref()) {
      return add_key(name, false, std::string(m.name()), std::string(m.key()), m.optional());
    } else if (auto s = from.secret_key_ref()) {
      return add_key(name, true, std::string(s.name()), std::string(s.key()), s.optional());
    } else if (auto file = from.file_key_ref()) {
      return add_from_file(name, file);
    }
    return {};
  }

  // What $(NAME) may refer to: what was set before, and services.
  std::optional<std::string> visible(std::string_view name) const {
    if (auto own = get(name)) return own;
    auto it = services_.find(std::string(name));
    if (it == services_.end()) return std::nullopt;
    return it->second;
  }
  Environment take() { return std::move(out_); }

 private:
  Status missing(bool secret, const std::string& name) const {
    return Status(Reason::kNotFound,
                  std::string(secret ? "secret" : "configmap") + " \"" + name + "\" not found");
  }
  Container container_for(std::string_view name) const {
    for (Container c : pod_.spec().containers())
      if (c.name() == name) return c;
    for (Container c : pod_.spec().init_containers())
      if (c.name() == name) return c;
    return c_;
  }
  Status add_key(const std::string& env, bool secret, const std::string& object,
                 const std::string& key, bool optional) {
    auto data = data_(secret, object);
    if (!data && optional) return {};
    if (!data) return missing(secret, object);
    auto it = data->find(key);
    if (it == data->end()) {
      if (optional) return {};
      return Status(Reason::kNotFound,
                    "couldn't find key " + key + " in " + (secret ? "Secret" : "ConfigMap") + " " +
                        std::string(pod_.metadata().namespace_()) + "/" + object);
    }
    set(env, it->second);
    return {};
  }

  Status add_from_file(const std::string& env, const api::core_v1::FileKeySelector& from) {
    const std::string volume(from.volume_name()), path(from.path());
    auto text = files_ ? files_(volume, path) : Result<std::string>(Status::not_found("", "", ""));
    auto value = text.ok() ? env_file_value(*text, from.key()) : text;
    if (!value.ok()) return Status(Reason::kInvalid, "couldn't parse env file");
    if (!value->empty()) {
      set(env, *value);
    } else if (!from.optional()) {
      return Status(Reason::kNotFound, "environment variable key " + quoted(from.key()) +
                                           " not found in file " + quoted(path));
    }
    return {};
  }

  const Pod& pod_;
  const Container& c_;
  const DataLookup& data_;
  const FileLookup& files_;
  const PodFacts& facts_;
  const std::map<std::string, std::string>& services_;
  Environment out_;
  std::map<std::string, size_t> index_;
};

}  // namespace

Result<Environment> build_environment(const Pod& pod, const Container& c,
                                      const std::map<std::string, std::string>& services,
                                      const DataLookup& data, const PodFacts& facts,
                                      const FileLookup& files) {
  EnvironmentBuilder b(pod, c, data, files, facts, services);
  TRY(b.add_from());
  for (auto e : c.env()) TRY(b.add_one(e));
  // Services never hide what the pod says itself.
  for (const auto& [name, value] : services)
    if (!b.get(name)) b.set(name, value);
  return b.take();
}

}  // namespace keles::node
