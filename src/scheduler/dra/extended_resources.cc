#include "scheduler/dra/extended_resources.h"

#include <algorithm>
#include <optional>

#include "machinery/quantity.h"

namespace keles::scheduler::dra {
namespace {

namespace core = api::core_v1;
namespace resource = api::resource_v1;
using Request = ExtendedRequests::Request;
using Mapping = ExtendedRequests::Mapping;

constexpr std::string_view kOfClass = "deviceclass.resource.kubernetes.io/";

bool is_newer(const resource::DeviceClass& a, const resource::DeviceClass& b) {
  // Both in the one form that the API gives out, which sorts as times do.
  const auto ta = a.metadata().creation_timestamp(), tb = b.metadata().creation_timestamp();
  return ta == tb ? a.metadata().name() < b.metadata().name() : ta > tb;
}

// A container as far as it concerns one resource.
struct Asking {
  std::string container;
  int64_t wanted = 0;
  std::string request_name;  // of its own request
  bool ends_first = false;   // an init container that is no sidecar
};

Asking read_asking(const core::Container& c, size_t index, bool init, std::string_view name) {
  Asking out;
  out.container = c.name();
  out.ends_first = init && c.restart_policy() != "Always";
  size_t place = 0;  // among the names of all its requests, in order
  for (auto [other, text] : c.resources().requests()) {
    if (other < name) ++place;
    if (other != name) continue;
    auto q = Quantity::parse(text);
    if (q.ok() && Quantity::from_int(q->value()) == *q) out.wanted = q->value();
  }
  out.request_name = "container-" + std::to_string(index) + "-request-" + std::to_string(place);
  return out;
}

// One resource of all containers, init containers first.
void request_one(const std::vector<Asking>& all, const std::string& name,
                 const std::string& of_class, ExtendedRequests* out) {
  std::vector<Mapping> lasting, passing;
  std::vector<std::string> passing_names;
  std::optional<Request> most;
  for (const Asking& a : all) {
    if (a.ends_first || a.wanted <= 0) continue;
    out->requests.push_back({a.request_name, of_class, a.wanted});
    lasting.push_back({a.container, name, a.request_name});
  }
  for (size_t i = 0; i < all.size(); ++i) {
    const Asking& a = all[i];
    if (!a.ends_first || a.wanted <= 0) continue;
    int64_t have = 0;
    for (size_t later = i; later < all.size() && have < a.wanted; ++later) {
      if (all[later].ends_first || all[later].wanted <= 0) continue;
      have += all[later].wanted;
      passing.push_back({a.container, name, all[later].request_name});
    }
    if (have >= a.wanted) continue;
    passing.push_back({a.container, name, a.request_name});
    passing_names.push_back(a.request_name);
    if (!most || most->count < a.wanted - have)
      most = Request{a.request_name, of_class, a.wanted - have};
  }
  for (Mapping& m : passing) {
    const auto& names = passing_names;
    if (std::find(names.begin(), names.end(), m.request) != names.end()) m.request = most->name;
  }
  if (most) out->requests.push_back(*most);
  out->mappings.insert(out->mappings.end(), lasting.begin(), lasting.end());
  out->mappings.insert(out->mappings.end(), passing.begin(), passing.end());
}

}  // namespace

bool may_be_devices(std::string_view name) {
  if (name.starts_with(kOfClass)) return true;
  return name.find('/') != name.npos && name.find("kubernetes.io/") == name.npos &&
         !name.starts_with("requests.");
}

ClassesByResource::ClassesByResource(const std::vector<Ref<DeviceClass>>& classes) {
  for (const Ref<DeviceClass>& c : classes) {
    classes_[std::string(kOfClass) + std::string(c->metadata().name())] = c;
    if (!c->spec().has_extended_resource_name()) continue;
    auto [at, fresh] = classes_.try_emplace(std::string(c->spec().extended_resource_name()), c);
    if (!fresh && is_newer(*c, *at->second)) at->second = c;
  }
}

Ref<resource::DeviceClass> ClassesByResource::find(std::string_view name) const {
  auto at = classes_.find(name);
  return at == classes_.end() ? Ref<DeviceClass>() : at->second;
}

ExtendedRequests extended_requests(const core::Pod& pod,
                                   const std::map<std::string, std::string>& class_of) {
  ExtendedRequests out;
  for (const auto& [name, of_class] : class_of) {
    std::vector<Asking> all;
    for (core::Container c : pod.spec().init_containers())
      all.push_back(read_asking(c, all.size(), true, name));
    for (core::Container c : pod.spec().containers())
      all.push_back(read_asking(c, all.size(), false, name));
    request_one(all, name, of_class, &out);
  }
  std::sort(out.requests.begin(), out.requests.end(),
            [](const Request& a, const Request& b) { return a.name < b.name; });
  return out;
}

Document extended_claim(const core::Pod& pod, const ExtendedRequests& wanted) {
  Draft<resource::ResourceClaimEdit> d;
  auto meta = d->edit_metadata();
  meta.set_namespace_(pod.metadata().namespace_());
  meta.set_generate_name(std::string(pod.metadata().name()) + "-extended-resources-");
  meta.edit_annotations().set(kExtendedClaim, "true");
  auto owner = meta.edit_owner_references().add();
  owner.set_api_version("v1");
  owner.set_kind("Pod");
  owner.set_name(pod.metadata().name());
  owner.set_uid(pod.metadata().uid());
  owner.set_controller(true);
  for (const Request& r : wanted.requests) {
    auto request = d->edit_spec().edit_devices().edit_requests().add();
    request.set_name(r.name);
    auto exactly = request.edit_exactly();
    exactly.set_device_class_name(r.device_class);
    exactly.set_allocation_mode("ExactCount");
    exactly.set_count(r.count);
  }
  return d.take();
}

bool is_extended_claim(const resource::ResourceClaim& claim) {
  return claim.metadata().annotations().get(kExtendedClaim) == "true";
}

}  // namespace keles::scheduler::dra
