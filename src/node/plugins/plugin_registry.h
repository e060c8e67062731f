// Programs that offer this node something over a socket below <root>/plugins_registry: CSI drivers,
// DRA drivers, device plug-ins (upstream: pkg/kubelet/pluginmanager; the service is
// pluginregistration v1 of k8s.io/kubelet). Each is asked what it is, checked and taken by the
// handler of its type, and told what became of that; when its socket goes, it is given back.
//
// A socket's life is followed strictly in order: validate, add, remove, add, ... Of one that fails
// the registration is tried again, after 0.5 s and then twice as long each time, up to 2 min.
//
// One loop, a real one.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/context.h"
#include "base/status.h"
#include "base/sync.h"
#include "base/task.h"

namespace keles::node {

inline constexpr const char* kCsiPlugin = "CSIPlugin";
inline constexpr const char* kDraPlugin = "DRAPlugin";
inline constexpr const char* kDevicePlugin = "DevicePlugin";

struct PluginInfo {
  PluginInfo() = default;
  std::string type, name;
  std::string endpoint;  // the socket that serves what it offers; an absolute path
  std::vector<std::string> versions;
  std::string socket;  // that it was registered by
};

// Answers for one type. Outlives the registry.
class PluginHandler {
 public:
  virtual ~PluginHandler() = default;
  // Whether it can be taken at all: its name, its versions. Nothing is changed.
  virtual Status validate(const PluginInfo& info) = 0;
  // Takes it; one that is there already under this name is replaced. An error is told to it.
  virtual Task<Status> add(Context ctx, PluginInfo info) = 0;
  // Its socket has gone. Another one of this name, with another endpoint, may have been added
  // since.
  virtual Task<void> remove(Context ctx, PluginInfo info) = 0;
};

class PluginRegistry {
 public:
  // `directory` is made when it is missing.
  PluginRegistry(Loop& loop, std::string directory);
  ~PluginRegistry();
  // Before run().
  void handle(const std::string& type, PluginHandler* handler) { handlers_[type] = handler; }
  // Until ctx ends; what is registered then stays with its handler.
  Task<Status> run(Context ctx);

 private:
  struct Watched;  // a socket
  class Watch;     // of the directories
  void look(Context ctx);
  static Task<void> follow(PluginRegistry* self, Context ctx, std::shared_ptr<Watched> socket);
  Task<Status> add(Context ctx, std::shared_ptr<Watched> socket);
  Task<Status> ask(Context ctx, std::shared_ptr<Watched> socket, PluginInfo* out);
  Task<Status> tell(Context ctx, std::shared_ptr<Watched> socket, bool registered,
                    std::string error);

  std::string directory_;
  std::map<std::string, PluginHandler*> handlers_;
  std::unique_ptr<Watch> watch_;
  std::map<std::string, std::shared_ptr<Watched>> sockets_;  // by path
  TaskGroup tasks_;
};

// What a program says of itself; kInvalid when it is no such answer or beyond the bounds (64 KiB,
// names of 253 bytes, 64 versions). `socket`: its endpoint when it names none.
Result<PluginInfo> read_plugin_info(std::string_view message, const std::string& socket);

}  // namespace keles::node
