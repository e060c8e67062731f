// local.csi.keles.dev: a CSI driver for directories and files of this host (`keles csi-local`). It
// speaks plain CSI v1 (identity, controller, node) on one socket, and registers itself with the
// kubelet, as node-driver-registrar does for others.
//
// Topology: a volume is where it was made, `topology.local.csi.keles.dev/node: NODE`.
// Parameters of a class: `kind: directory` (the default where no file system is asked for) or
// `image`. Of a VolumeAttributesClass: `allocation: full` or `sparse` (the default), of images.
#pragma once

#include <mutex>
#include <string>

#include "base/context.h"
#include "csi/local_volumes.h"
#include "node/plugins/csi/messages.h"

namespace keles::csi {

inline constexpr const char* kLocalDriver = "local.csi.keles.dev";
inline constexpr const char* kLocalTopology = "topology.local.csi.keles.dev/node";

class LocalDriver {
 public:
  struct Options {
    Options() = default;
    std::string directory = "/var/lib/keles/csi-local";
    std::string node;
    int64_t max_volumes = 0;  // 0: any number
  };
  explicit LocalDriver(Options options)
      : options_(std::move(options)), volumes_(options_.directory) {}

  Status start() const { return volumes_.start(); }
  // `method` is "/csi.v1.Node/NodePublishVolume". Blocking, any thread; calls wait for each other.
  Result<std::string> answer(const std::string& method, const std::string& message, int64_t now);

 private:
  Result<std::string> identity(const std::string& method);
  Result<std::string> controller(const std::string& method, const std::string& message,
                                 int64_t now);
  Result<std::string> snapshots(const std::string& method, const std::string& message, int64_t now);
  Result<std::string> node(const std::string& method, const std::string& message);
  Result<std::string> create(const v1::CreateVolumeRequest& request);
  Result<std::string> publish(const v1::NodePublishVolumeRequest& request);
  void describe(v1::VolumeEdit out, const LocalVolume& v) const;

  Options options_;
  LocalVolumes volumes_;
  std::mutex mutex_;
};

// Serves the driver at `endpoint` ("unix:///...") and, unless `registry` is empty, tells the
// kubelet of it by a socket in that directory. Until ctx ends.
Task<Status> run_local_driver(Context ctx, LocalDriver* driver, std::string endpoint,
                              std::string registry);

}  // namespace keles::csi
