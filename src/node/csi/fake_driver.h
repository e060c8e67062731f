// A CSI driver for tests, on a real socket: a volume is a directory that it makes. It writes down
// what it is asked, and answers wrongly where it is told to.
#pragma once

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "machinery/codec_json.h"
#include "net/grpc_server.h"
#include "node/plugins/csi/driver.h"

namespace keles::node {

class FakeCsiDriver {
 public:
  std::vector<std::string> capabilities = {"STAGE_UNSTAGE_VOLUME", "EXPAND_VOLUME",
                                           "GET_VOLUME_STATS"};
  std::string node_id = "node-7";
  csi::StringMap topology = {{"topology.fruit.example.com/shelf", "a"}};
  int64_t max_volumes = 0;
  std::map<std::string, Status> failing;    // by method ("NodeStageVolume")
  std::vector<std::string> calls;           // the methods, without the questions
  std::map<std::string, std::string> last;  // the newest request of a method, as JSON

  void listen(Loop& loop, const std::string& path) {
    auto made = net::GrpcServer::start(loop, "unix:" + path, net::GrpcServerOptions(),
                                       [this](Context, std::string method, std::string message) {
                                         return answer(this, std::move(method), std::move(message));
                                       });
    if (!made.ok()) std::abort();
    server_ = std::move(*made);
  }
  Task<void> stop() { co_await server_->stop(); }

 private:
  template <class Request>
  Request note(const std::string& name, const std::string& message) {
    auto doc = decode_protobuf(Request::descriptor(), message);
    if (!doc.ok()) std::abort();
    kept_.push_back(std::make_unique<Document>(std::move(*doc)));
    std::string json;
    write_json(json, Request::descriptor(), kept_.back()->root);
    calls.push_back(name);
    last[name] = json;
    return Request(kept_.back()->root);
  }

  static Task<Result<std::string>> answer(FakeCsiDriver* self, std::string method,
                                          std::string message) {
    const std::string name = method.substr(method.rfind('/') + 1);
    auto failure = self->failing.find(name);
    if (name == "NodeGetInfo") {
      Draft<csi::v1::NodeGetInfoResponseEdit> r;
      r->set_node_id(self->node_id);
      if (self->max_volumes != 0) r->set_max_volumes_per_node(self->max_volumes);
      csi::fill(r->edit_accessible_topology().edit_segments(), self->topology);
      if (failure != self->failing.end()) co_return failure->second;
      co_return encode_protobuf(csi::v1::NodeGetInfoResponse::descriptor(), r.value());
    }
    if (name == "NodeGetCapabilities") {
      Draft<csi::v1::NodeGetCapabilitiesResponseEdit> r;
      for (const std::string& c : self->capabilities)
        r->edit_capabilities().add().edit_rpc().set_type(c);
      co_return encode_protobuf(csi::v1::NodeGetCapabilitiesResponse::descriptor(), r.value());
    }
    namespace fs = std::filesystem;
    std::error_code ignored;
    Status s;
    std::string out;
    if (name == "NodePublishVolume") {
      auto q = self->note<csi::v1::NodePublishVolumeRequest>(name, message);
      if (failure == self->failing.end()) fs::create_directory(q.target_path(), ignored);
    } else if (name == "NodeUnpublishVolume") {
      auto q = self->note<csi::v1::NodeUnpublishVolumeRequest>(name, message);
      if (failure == self->failing.end()) fs::remove_all(q.target_path(), ignored);
    } else if (name == "NodeStageVolume") {
      self->note<csi::v1::NodeStageVolumeRequest>(name, message);
    } else if (name == "NodeUnstageVolume") {
      self->note<csi::v1::NodeUnstageVolumeRequest>(name, message);
    } else if (name == "NodeExpandVolume") {
      self->note<csi::v1::NodeExpandVolumeRequest>(name, message);
    } else if (name == "NodeGetVolumeStats") {
      self->note<csi::v1::NodeGetVolumeStatsRequest>(name, message);
      Draft<csi::v1::NodeGetVolumeStatsResponseEdit> r;
      auto bytes = r->edit_usage().add();
      bytes.set_unit("BYTES");
      bytes.set_total(100);
      bytes.set_used(40);
      bytes.set_available(60);
      r->edit_volume_condition().set_abnormal(true);
      out = encode_protobuf(csi::v1::NodeGetVolumeStatsResponse::descriptor(), r.value());
    } else {
      s = Status(Reason::kMethodNotAllowed, "no such method: " + method);
    }
    if (failure != self->failing.end()) co_return failure->second;
    if (!s.ok()) co_return s;
    co_return out;
  }

  std::unique_ptr<net::GrpcServer> server_;
  std::vector<std::unique_ptr<Document>> kept_;
};

}  // namespace keles::node
