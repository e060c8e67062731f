#include "node/pods/resize.h"

#include <algorithm>
#include <cstdlib>

#include "machinery/codec_json.h"
#include "machinery/quantity.h"
#include "node/cgroup/resources.h"
#include "node/pods/containers.h"

namespace keles::node {

using api::core_v1::Container;
using api::core_v1::ContainerStatus;
using api::core_v1::Pod;
using api::core_v1::PodEdit;
using api::core_v1::ResourceRequirements;
using api::core_v1::ResourceRequirementsEdit;

namespace {

constexpr std::string_view kNames[] = {"cpu", "memory"};

bool resizable(const Container& c, Role role) {
  return role == Role::kMain || (role == Role::kInit && is_sidecar(c));
}

std::string_view text(const ResourceTexts& t, const std::string& key) {
  auto it = t.find(key);
  return it == t.end() ? std::string_view() : std::string_view(it->second);
}

bool same(const ResourceTexts& a, const ResourceTexts& b) {
  for (std::string_view list : {"requests.", "limits."})
    for (std::string_view name : kNames) {
      std::string key = std::string(list) + std::string(name);
      if (Quantity::parse_or_zero(text(a, key)) != Quantity::parse_or_zero(text(b, key)))
        return false;
    }
  return true;
}

bool asks_more(const ResourceTexts& a, const ResourceTexts& b) {
  for (const char* key : {"requests.cpu", "requests.memory"})
    if (Quantity::parse_or_zero(text(a, key)) > Quantity::parse_or_zero(text(b, key))) return true;
  return false;
}

void put(ResourceTexts& out, std::string_view list, const Map<std::string_view>& from) {
  for (std::string_view name : kNames)
    if (from.contains(name)) out[std::string(list) + std::string(name)] = from.get(name);
}

// A status tells requests twice: allocatedResources are what was given.
ResourceTexts reported_texts(const Map<std::string_view>& requests,
                             const ResourceRequirements& resources) {
  ResourceTexts out;
  put(out, "requests.", requests);
  put(out, "limits.", resources.limits());
  return out;
}

void write_amounts(const ResourceTexts& texts, const std::string& list, MapEdit out) {
  for (std::string_view name : kNames) {
    auto it = texts.find(list + std::string(name));
    if (it != texts.end()) out.set(name, it->second);
  }
}

void erase_amounts(const Value& map, const MapEdit& out) {
  if (!map.is_map()) return;
  for (std::string_view name : kNames) out.erase(name);
}

// {"limits":{...},"requests":{...}} as Go's encoder writes the type.
void append_resources(std::string& out, const ResourceRequirements& r) {
  out += "{";
  bool first = true;
  for (auto [name, map] : {std::pair("limits", r.limits()), std::pair("requests", r.requests())}) {
    if (map.empty()) continue;
    std::map<std::string_view, std::string_view> sorted;
    for (auto [key, value] : map) sorted[key] = value;
    out += (first ? "\"" : ",\"") + std::string(name) + "\":{";
    first = false;
    bool one = true;
    for (const auto& [key, value] : sorted) {
      if (!one) out += ",";
      one = false;
      write_json_string(out, key);
      out += ":";
      write_json_string(out, value);
    }
    out += "}";
  }
  out += "}";
}

template <class Containers>
void append_containers(std::string& out, const char* field, const Containers& list) {
  if (list.empty()) return;
  out += "\"" + std::string(field) + "\":[";
  bool first = true;
  for (Container c : list) {
    out += first ? "{\"name\":" : ",{\"name\":";
    first = false;
    write_json_string(out, c.name());
    out += ",\"resources\":";
    append_resources(out, c.resources());
    out += "}";
  }
  out += "],";
}

}  // namespace

ResourceTexts resource_texts(const ResourceRequirements& r) {
  ResourceTexts out;
  put(out, "requests.", r.requests());
  put(out, "limits.", r.limits());
  return out;
}

void write_texts(const ResourceTexts& texts, ResourceRequirementsEdit out) {
  for (const char* list : {"requests", "limits"}) {
    bool requests = std::string_view(list) == "requests";
    bool any = std::any_of(texts.begin(), texts.end(), [&](const auto& t) {
      return t.first.starts_with(std::string(list) + ".");
    });
    const Value& old = out.value()[list];
    if (!any && !old.is_map()) continue;
    MapEdit map = requests ? out.edit_requests() : out.edit_limits();
    erase_amounts(out.value()[list], map);
    write_amounts(texts, std::string(list) + ".", map);
  }
}

Allocation Allocation::wanted(const Pod& pod) {
  Allocation out;
  out.whole_ = resource_texts(pod.spec().resources());
  for_each_container(pod, [&](const Container& c, Role role) {
    if (resizable(c, role)) out.containers_[std::string(c.name())] = resource_texts(c.resources());
  });
  return out;
}

Allocation Allocation::reported(const Pod& pod) {
  Allocation out = wanted(pod);
  auto status = pod.status();
  if (status.resources())
    out.whole_ = reported_texts(status.resources().requests(), status.resources());
  for (auto list : {status.container_statuses(), status.init_container_statuses()})
    for (ContainerStatus s : list) {
      auto c = out.containers_.find(s.name());
      if (c == out.containers_.end() || !s.resources()) continue;
      c->second = reported_texts(s.allocated_resources(), s.resources());
    }
  return out;
}

bool Allocation::operator==(const Allocation& o) const {
  if (!same(whole_, o.whole_) || containers_.size() != o.containers_.size()) return false;
  for (const auto& [name, texts] : containers_) {
    const ResourceTexts* other = o.container(name);
    if (!other || !same(texts, *other)) return false;
  }
  return true;
}

bool Allocation::asks_more_than(const Allocation& o) const {
  if (asks_more(whole_, o.whole_)) return true;
  for (const auto& [name, texts] : containers_) {
    const ResourceTexts* other = o.container(name);
    if (other && asks_more(texts, *other)) return true;
  }
  return false;
}

const ResourceTexts* Allocation::container(std::string_view name) const {
  auto it = containers_.find(name);
  return it == containers_.end() ? nullptr : &it->second;
}

Ref<Pod> Allocation::applied_to(const Ref<Pod>& pod) const {
  if (*this == wanted(*pod)) return pod;
  auto copy = std::make_shared<Document>();
  copy->root = deep_copy(copy->arena, pod->value());
  PodEdit edit(EditTarget{&copy->root, &copy->arena});
  edit.clear_status();
  auto spec = edit.edit_spec();
  if (!whole_.empty() || spec.resources()) write_texts(whole_, spec.edit_resources());
  auto containers = spec.edit_containers();
  for (size_t i = 0; i < containers.size(); ++i)
    if (auto* texts = container(containers[i].name()))
      write_texts(*texts, containers[i].edit_resources());
  if (!spec.init_containers().empty()) {
    auto init = spec.edit_init_containers();
    for (size_t i = 0; i < init.size(); ++i)
      if (auto* texts = container(init[i].name())) write_texts(*texts, init[i].edit_resources());
  }
  return Ref<Pod>(std::move(copy));
}

Given given(const ResourceTexts& whole, const ResourceTexts& container) {
  auto limit = [&](const std::string& key) {
    std::string_view own = text(container, key);
    return own.empty() ? text(whole, key) : own;
  };
  auto request = [&](const char* name) {
    std::string_view own = text(container, std::string("requests.") + name);
    return own.empty() ? text(container, std::string("limits.") + name) : own;
  };
  Given out;
  out.cpu_request = milli_value(request("cpu"));
  out.cpu_limit = milli_value(limit("limits.cpu"));
  out.memory_request = unit_value(request("memory"));
  out.memory_limit = unit_value(limit("limits.memory"));
  return out;
}

namespace {

bool restart_wanted(const Container& c, const Given& now, const Given& to) {
  bool cpu = now.cpu_request != to.cpu_request || now.cpu_limit != to.cpu_limit;
  bool memory = now.memory_request != to.memory_request || now.memory_limit != to.memory_limit;
  for (auto p : c.resize_policy()) {
    bool changed = p.resource_name() == "cpu" ? cpu : p.resource_name() == "memory" && memory;
    if (changed && p.restart_policy() == "RestartContainer") return true;
  }
  return false;
}

}  // namespace

std::vector<ResizeStep> resize_steps(const Pod& allocated, const PodRuntime& actual,
                                     const std::map<std::string, ResourceTexts>& actual_of,
                                     const ResourceTexts& actual_whole) {
  std::vector<ResizeStep> out;
  const ResourceTexts whole = resource_texts(allocated.spec().resources());
  for_each_container(allocated, [&](const Container& c, Role role) {
    const cri::Container* running = actual.latest(c.name());
    if (!resizable(c, role) || !running || running->state != cri::ContainerState::kRunning) return;
    auto has = actual_of.find(running->id);
    if (has == actual_of.end()) return;
    ResizeStep step{running->id, std::string(c.name()), given(actual_whole, has->second),
                    given(whole, resource_texts(c.resources())), false};
    if (step.now == step.to) return;
    step.restart = restart_wanted(c, step.now, step.to);
    out.push_back(std::move(step));
  });
  std::stable_sort(out.begin(), out.end(), [](const ResizeStep& a, const ResizeStep& b) {
    return a.to.memory_limit - a.now.memory_limit < b.to.memory_limit - b.now.memory_limit;
  });
  return out;
}

std::string resize_message(std::string_view what, const Pod& pod, int64_t generation,
                           std::string_view error) {
  std::string out(what);
  out += ": {";
  append_containers(out, "initContainers", pod.spec().init_containers());
  append_containers(out, "containers", pod.spec().containers());
  out += "\"generation\":" + std::to_string(generation);
  if (!error.empty()) {
    out += ",\"error\":";
    write_json_string(out, error);
  }
  return out + "}";
}

}  // namespace keles::node
