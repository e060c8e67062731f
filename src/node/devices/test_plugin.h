// A plug-in for tests, on real sockets: a device plug-in and a DRA driver in one. It writes down
// what it is asked, and answers wrongly where it is told to.
#pragma once

#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "api/deviceplugin_v1beta1.h"
#include "api/dra_v1.h"
#include "api/drahealth_v1alpha1.h"
#include "api/pluginregistration_v1.h"
#include "base/sync.h"
#include "machinery/codec_protobuf.h"
#include "net/grpc_server.h"

namespace keles::node {

class TestPlugin {
 public:
  // What it offers: devices of `resource`, by id, healthy or not, and their NUMA nodes.
  struct Device {
    bool healthy = true;
    std::vector<int64_t> nodes;
  };
  std::string resource = "example.com/gizmo";
  std::map<std::string, Device> devices;
  bool pre_start = false;
  std::vector<std::string> preferred;  // what it says it would rather give
  bool prefers = false;
  std::map<std::string, Status> failing;  // by method ("Allocate")
  std::vector<std::string> calls;         // "Allocate a,b"

  // Of claims: what it gives for one (uid, name), and the health of "pool/device".
  std::string driver = "gizmo.example.com";
  std::function<std::vector<std::string>(const std::string& uid, const std::string& name)> cdi_ids;
  std::map<std::string, std::string> health;
  std::string prepare_error;

  explicit TestPlugin(Loop& loop) : loop_(loop) {}

  // Serves both at `socket`; `registration`: as what kind of plug-in it registers there, if at all.
  void listen(const std::string& socket, const std::string& registration = "",
              const std::string& kind = "") {
    socket_ = socket;
    net::GrpcServerOptions options;
    options.streams["/v1beta1.DevicePlugin/ListAndWatch"] =
        [this](Context ctx, std::string, std::string, net::GrpcSend send) {
          return list(this, std::move(ctx), std::move(send));
        };
    options.streams["/v1alpha1.DRAResourceHealth/NodeWatchResources"] =
        [this](Context ctx, std::string, std::string, net::GrpcSend send) {
          return watch(this, std::move(ctx), std::move(send));
        };
    server_ = start(socket, std::move(options));
    kind_ = kind;
    if (!registration.empty()) registration_ = start(registration, net::GrpcServerOptions());
  }
  Task<void> stop() {
    if (registration_) co_await registration_->stop();
    if (server_) co_await server_->stop();
    registration_.reset();
    server_.reset();
  }
  // Who watches is told anew.
  void changed() {
    ++version_;
    for (Event* e : watchers_) e->set();
  }
  // The message by which it registers with the kubelet.
  std::string register_request(const std::string& endpoint) const {
    Draft<api::deviceplugin_v1beta1::RegisterRequestEdit> r;
    r->set_version("v1beta1");
    r->set_endpoint(endpoint);
    r->set_resource_name(resource);
    return encode_protobuf(api::deviceplugin_v1beta1::RegisterRequest::descriptor(), r.value());
  }

 private:
  std::unique_ptr<net::GrpcServer> start(const std::string& path, net::GrpcServerOptions options) {
    auto made = net::GrpcServer::start(loop_, "unix:" + path, std::move(options),
                                       [this](Context, std::string method, std::string message) {
                                         return answer(this, std::move(method), std::move(message));
                                       });
    if (!made.ok()) std::abort();
    return std::move(*made);
  }

  static Task<Status> list(TestPlugin* self, Context ctx, net::GrpcSend send) {
    Event news;
    self->watchers_.insert(&news);
    for (bool on = true; on && !ctx.done();) {
      Draft<api::deviceplugin_v1beta1::ListAndWatchResponseEdit> r;
      for (const auto& [id, device] : self->devices) {
        auto one = r->edit_devices().add();
        one.set_id(id);
        one.set_health(device.healthy ? "Healthy" : "Unhealthy");
        for (int64_t n : device.nodes) one.edit_topology().edit_nodes().add().set_id(n);
      }
      on = send(encode_protobuf(api::deviceplugin_v1beta1::ListAndWatchResponse::descriptor(),
                                r.value()));
      if (on) (void)co_await news.wait(ctx);
      news.reset();
    }
    self->watchers_.erase(&news);
    co_return Status();
  }

  static Task<Status> watch(TestPlugin* self, Context ctx, net::GrpcSend send) {
    Event news;
    self->watchers_.insert(&news);
    for (bool on = true; on && !ctx.done();) {
      Draft<api::drahealth_v1alpha1::NodeWatchResourcesResponseEdit> r;
      for (const auto& [where, how] : self->health) {
        auto one = r->edit_devices().add();
        one.edit_device().set_pool_name(where.substr(0, where.find('/')));
        one.edit_device().set_device_name(where.substr(where.find('/') + 1));
        one.set_health(how);
        one.set_message("it is " + how);
      }
      on = send(encode_protobuf(api::drahealth_v1alpha1::NodeWatchResourcesResponse::descriptor(),
                                r.value()));
      if (on) (void)co_await news.wait(ctx);
      news.reset();
    }
    self->watchers_.erase(&news);
    co_return Status();
  }

  std::string info() const {
    Draft<api::pluginregistration_v1::PluginInfoEdit> r;
    const bool dra = kind_ == "DRAPlugin";
    r->set_type(kind_);
    r->set_name(dra ? driver : resource);
    r->set_endpoint(socket_);
    r->edit_supported_versions().add(std::string_view(dra ? "v1.DRAPlugin" : "v1beta1"));
    return encode_protobuf(api::pluginregistration_v1::PluginInfo::descriptor(), r.value());
  }
  std::string give(const std::vector<std::string>& ids) const {
    Draft<api::deviceplugin_v1beta1::AllocateResponseEdit> r;
    auto one = r->edit_container_responses().add();
    std::string all;
    for (const std::string& id : ids) {
      all += (all.empty() ? "" : ",") + id;
      if (cdi_ids) one.edit_cdi_devices().add().set_name(resource + "=" + id);
    }
    one.edit_envs().set("GIZMOS", all);
    one.edit_annotations().set("example.com/gizmos", all);
    auto node = one.edit_devices().add();
    node.set_container_path("/dev/gizmo");
    node.set_host_path("/dev/null");
    node.set_permissions("rw");
    return encode_protobuf(api::deviceplugin_v1beta1::AllocateResponse::descriptor(), r.value());
  }
  std::string prepare(const api::dra_v1::NodePrepareResourcesRequest& request) {
    Draft<api::dra_v1::NodePrepareResourcesResponseEdit> r;
    for (auto claim : request.claims()) {
      Draft<api::dra_v1::NodePrepareResourceResponseEdit> one;
      const std::string uid(claim.uid()), name(claim.name());
      calls.push_back("prepare " + name);
      if (prepare_error.empty()) {
        auto device = one->edit_devices().add();
        device.set_pool_name("pool");
        device.set_device_name("gizmo-0");
        device.edit_request_names().add(std::string_view("gizmo"));
        if (cdi_ids)
          for (const std::string& id : cdi_ids(uid, name))
            device.edit_cdi_device_ids().add(std::string_view(id));
      } else {
        one->set_error(prepare_error);
      }
      r->edit_claims().set(uid, api::dra_v1::NodePrepareResourceResponse(one.value()));
    }
    return encode_protobuf(api::dra_v1::NodePrepareResourcesResponse::descriptor(), r.value());
  }
  std::string unprepare(const api::dra_v1::NodeUnprepareResourcesRequest& request) {
    Draft<api::dra_v1::NodeUnprepareResourcesResponseEdit> r;
    for (auto claim : request.claims()) {
      Draft<api::dra_v1::NodeUnprepareResourceResponseEdit> one;
      one->set_error("");
      calls.push_back("unprepare " + std::string(claim.name()));
      r->edit_claims().set(claim.uid(), api::dra_v1::NodeUnprepareResourceResponse(one.value()));
    }
    return encode_protobuf(api::dra_v1::NodeUnprepareResourcesResponse::descriptor(), r.value());
  }

  template <class T>
  static Document read_as_document(const std::string& message) {
    auto tree = decode_protobuf(T::descriptor(), message);
    if (!tree.ok()) std::abort();
    return std::move(*tree);
  }
  template <class List>
  void note(const std::string& name, const List& ids, std::vector<std::string>* out) {
    std::string all;
    for (std::string_view id : ids) {
      out->emplace_back(id);
      all += (all.empty() ? "" : ",") + std::string(id);
    }
    calls.push_back(name + " " + all);
  }

  static Task<Result<std::string>> answer(TestPlugin* self, std::string method,
                                          std::string message) {
    namespace dp = api::deviceplugin_v1beta1;
    const std::string name = method.substr(method.rfind('/') + 1);
    if (auto failure = self->failing.find(name); failure != self->failing.end())
      co_return failure->second;
    std::vector<std::string> ids;
    std::string out;
    if (name == "GetInfo") {
      out = self->info();
    } else if (name == "NotifyRegistrationStatus") {
      self->calls.push_back(name);
    } else if (name == "GetDevicePluginOptions") {
      Draft<dp::DevicePluginOptionsEdit> r;
      r->set_pre_start_required(self->pre_start);
      r->set_get_preferred_allocation_available(self->prefers);
      out = encode_protobuf(dp::DevicePluginOptions::descriptor(), r.value());
    } else if (name == "Allocate") {
      Document tree = read_as_document<dp::AllocateRequest>(message);
      self->note(name, dp::AllocateRequest(tree.root).container_requests()[0].devices_ids(), &ids);
      out = self->give(ids);
    } else if (name == "PreStartContainer") {
      Document tree = read_as_document<dp::PreStartContainerRequest>(message);
      self->note(name, dp::PreStartContainerRequest(tree.root).devices_ids(), &ids);
    } else if (name == "GetPreferredAllocation") {
      Document tree = read_as_document<dp::PreferredAllocationRequest>(message);
      const dp::PreferredAllocationRequest q(tree.root);
      self->note(name, q.container_requests()[0].available_device_ids(), &ids);
      Draft<dp::PreferredAllocationResponseEdit> r;
      auto list = r->edit_container_responses().add().edit_device_ids();
      for (const std::string& id : self->preferred) list.add(std::string_view(id));
      out = encode_protobuf(dp::PreferredAllocationResponse::descriptor(), r.value());
    } else if (name == "NodePrepareResources") {
      Document tree = read_as_document<api::dra_v1::NodePrepareResourcesRequest>(message);
      out = self->prepare(api::dra_v1::NodePrepareResourcesRequest(tree.root));
    } else if (name == "NodeUnprepareResources") {
      Document tree = read_as_document<api::dra_v1::NodeUnprepareResourcesRequest>(message);
      out = self->unprepare(api::dra_v1::NodeUnprepareResourcesRequest(tree.root));
    } else {
      co_return Status(Reason::kMethodNotAllowed, "no such method: " + method);
    }
    co_return out;
  }

  Loop& loop_;
  std::string socket_, kind_;
  int version_ = 0;
  std::set<Event*> watchers_;
  std::unique_ptr<net::GrpcServer> server_, registration_;
};

}  // namespace keles::node
