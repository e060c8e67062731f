// What upstream's attach-detach controller counts: the volumes that pods use on each node, and
// those that are to be attached and are. Kept up by differences; what one has counted goes with it.
// One loop's thread.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace keles::controllers {

class AttachMetrics {
 public:
  AttachMetrics() = default;
  ~AttachMetrics();
  AttachMetrics(const AttachMetrics&) = delete;
  AttachMetrics& operator=(const AttachMetrics&) = delete;

  // Of one volume, or of one pod's own volumes: by node, how many pods use it.
  using Uses = std::map<std::pair<std::string, std::string>, int64_t>;  // node, plug-in
  void set_uses(const std::string& key, Uses now);
  void set_totals(const std::string& volume, const std::string& plugin, int64_t wanted,
                  int64_t attached);

 private:
  struct Totals {
    std::string plugin;
    int64_t wanted = 0, attached = 0;
  };
  std::map<std::string, Uses> uses_;
  std::map<std::string, Totals> totals_;
};

}  // namespace keles::controllers
