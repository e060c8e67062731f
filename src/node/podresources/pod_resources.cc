#include "node/podresources/pod_resources.h"

#include "api/podresources_v1.h"
#include "base/file.h"
#include "base/metrics.h"
#include "machinery/codec_protobuf.h"
#include "node/pods/plan.h"

namespace keles::node {

namespace v1 = api::podresources_v1;
using api::core_v1::Container;
using api::core_v1::Pod;

namespace {

constexpr const char* kService = "/v1.PodResourcesLister/";

metrics::Counter& counter(const char* name, const char* what) {
  return metrics::counter(std::string("kubelet_pod_resources_endpoint_") + name,
                          std::string(what) + " Broken down by server api version.",
                          {"server_api_version"});
}
metrics::Counter& all_requests() {
  static metrics::Counter& c =
      counter("requests_total", "Cumulative number of requests to the PodResource endpoint.");
  return c;
}
metrics::Counter& requests(const std::string& method) {
  static metrics::Counter& list =
      counter("requests_list", "Number of requests to the PodResource List endpoint.");
  static metrics::Counter& get =
      counter("requests_get", "Number of requests to the PodResource Get endpoint.");
  static metrics::Counter& allocatable =
      counter("requests_get_allocatable",
              "Number of requests to the PodResource GetAllocatableResources endpoint.");
  return method == "List" ? list : method == "Get" ? get : allocatable;
}
metrics::Counter& get_errors() {
  static metrics::Counter& c =
      counter("errors_get",
              "Number of requests to the PodResource Get endpoint which returned "
              "error.");
  return c;
}

void add_device(const ListEdit<v1::ContainerDevicesEdit>& out, const std::string& resource,
                const std::string& id, const std::vector<int64_t>& nodes) {
  auto one = out.add();
  one.set_resource_name(resource);
  one.edit_device_ids().add(std::string_view(id));
  for (int64_t node : nodes) one.edit_topology().edit_nodes().add().set_id(node);
}

void add_memory(const ListEdit<v1::ContainerMemoryEdit>& out,
                const std::vector<MemoryBlock>& blocks) {
  for (const MemoryBlock& b : blocks) {
    auto one = out.add();
    one.set_memory_type(b.type);
    one.set_size(static_cast<int64_t>(b.bytes));
    for (int node : b.nodes) one.edit_topology().edit_nodes().add().set_id(node);
  }
}

void fill_claims(v1::ContainerResourcesEdit out, const PodResourcesSource& s, const Pod& pod,
                 const Container& container) {
  for (const PreparedClaim* claim : s.claims->claims_of(pod, container)) {
    auto one = out.edit_dynamic_resources().add();
    one.set_claim_name(claim->name);
    one.set_claim_namespace(claim->ns);
    for (const auto& [driver, devices] : claim->drivers) {
      for (const ClaimedDevice& d : devices) {
        auto device = one.edit_claim_resources().add();
        for (const std::string& id : d.cdi_ids) device.edit_cdi_devices().add().set_name(id);
        device.set_driver_name(driver);
        device.set_pool_name(d.pool);
        device.set_device_name(d.name);
        if (d.share_id) device.set_share_id(*d.share_id);
      }
    }
  }
}

void fill_container(v1::ContainerResourcesEdit out, const PodResourcesSource& s, const Pod& pod,
                    const Container& container) {
  const std::string uid(pod.metadata().uid()), name(container.name());
  out.set_name(name);
  if (const DeviceBook::Container* own = s.devices->book().of(uid, name)) {
    for (const auto& [resource, given] : *own) {
      std::map<std::string, std::vector<int64_t>> nodes;
      for (const auto& [node, ids] : given.by_node) {
        for (const std::string& id : ids) {
          auto& at = nodes[id];
          if (node != GivenDevices::kNowhere) at.push_back(node);
        }
      }
      for (const auto& [id, at] : nodes) add_device(out.edit_devices(), resource, id, at);
    }
  }
  if (const CpuSet* cpus = s.cpus->exclusive(uid, name))
    for (int cpu : *cpus) out.edit_cpu_ids().add(int64_t{cpu});
  const std::vector<MemoryBlock> memory = s.memory->blocks_of(uid, name);
  if (!memory.empty()) add_memory(out.edit_memory(), memory);
  fill_claims(out, s, pod, container);
}

void fill_pod(v1::PodResourcesEdit out, const PodResourcesSource& s, const Pod& pod) {
  out.set_name(pod.metadata().name());
  out.set_namespace_(pod.metadata().namespace_());
  auto containers = out.edit_containers();
  for (Container c : pod.spec().init_containers())
    if (is_sidecar(c)) fill_container(containers.add(), s, pod, c);
  for (Container c : pod.spec().containers()) fill_container(containers.add(), s, pod, c);
}

std::string list(const PodResourcesSource& s) {
  Draft<v1::ListPodResourcesResponseEdit> out;
  s.devices->drop_stale();
  for (const Ref<Pod>& pod : s.pods()) fill_pod(out->edit_pod_resources().add(), s, *pod);
  return encode_protobuf(v1::ListPodResourcesResponse::descriptor(), out.value());
}

std::string allocatable(const PodResourcesSource& s) {
  Draft<v1::AllocatableResourcesResponseEdit> out;
  const DeviceBook& book = s.devices->book();
  for (const std::string& resource : book.resources())
    for (const auto& [id, device] : book.offered(resource))
      if (device.healthy) add_device(out->edit_devices(), resource, id, device.nodes);
  for (int cpu : s.cpus->allocatable()) out->edit_cpu_ids().add(int64_t{cpu});
  const std::vector<MemoryBlock> memory = s.memory->allocatable();
  if (!memory.empty()) add_memory(out->edit_memory(), memory);
  return encode_protobuf(v1::AllocatableResourcesResponse::descriptor(), out.value());
}

Result<std::string> get(const PodResourcesSource& s, const std::string& message) {
  TRY_ASSIGN(tree, decode_protobuf(v1::GetPodResourcesRequest::descriptor(), message));
  const v1::GetPodResourcesRequest r(tree.root);
  for (const Ref<Pod>& pod : s.pods()) {
    if (pod->metadata().name() != r.pod_name() || pod->metadata().namespace_() != r.pod_namespace())
      continue;
    Draft<v1::GetPodResourcesResponseEdit> out;
    fill_pod(out->edit_pod_resources(), s, *pod);
    return encode_protobuf(v1::GetPodResourcesResponse::descriptor(), out.value());
  }
  get_errors().with({"v1"}).add();
  return Status(Reason::kUnknown, "pod " + std::string(r.pod_name()) + " in namespace " +
                                      std::string(r.pod_namespace()) + " not found");
}

Task<Result<std::string>> answer(std::shared_ptr<PodResourcesSource> source, std::string method,
                                 std::string message) {
  co_return answer_pod_resources(*source, method, message);
}

}  // namespace

Result<std::string> answer_pod_resources(const PodResourcesSource& source,
                                         const std::string& method, const std::string& message) {
  const std::string name =
      method.starts_with(kService) ? method.substr(std::string_view(kService).size()) : "";
  if (name != "List" && name != "Get" && name != "GetAllocatableResources")
    return Status(Reason::kMethodNotAllowed, "unknown method " + method);
  all_requests().with({"v1"}).add();
  requests(name).with({"v1"}).add();
  if (name == "Get") return get(source, message);
  return name == "List" ? list(source) : allocatable(source);
}

Result<std::unique_ptr<net::GrpcServer>> serve_pod_resources(Loop& loop,
                                                             const std::string& directory,
                                                             PodResourcesSource source) {
  TRY(make_directories(directory, 0750));
  auto shared = std::make_shared<PodResourcesSource>(std::move(source));
  net::GrpcServer::Handler handler = [shared](Context, std::string method, std::string message) {
    return answer(shared, std::move(method), std::move(message));
  };
  return net::GrpcServer::start(loop, "unix:" + directory + "/kubelet.sock",
                                net::GrpcServerOptions(), std::move(handler));
}

}  // namespace keles::node
