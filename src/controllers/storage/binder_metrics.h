// What the binder tells of volumes and claims (pv_collector_*), and how long and how well providing
// and deleting them goes. One loop's thread; one for the process, for its gauges are.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "client/client.h"

namespace keles::controllers {

class BinderMetrics {
 public:
  explicit BinderMetrics(Loop& loop) : loop_(loop) {}
  ~BinderMetrics();
  BinderMetrics(const BinderMetrics&) = delete;

  // The newest state; null: it has gone.
  void count_volume(const std::string& name, const ObjectPtr& now);
  void count_claim(const std::string& key, const ObjectPtr& now);

  // An operation ("provision", "delete") on a claim or a volume has begun, unless it had.
  void began(const std::string& key, std::string plugin, std::string_view operation);
  void ended(const std::string& key, bool ok);  // when one had begun; a failure is tried again
  void forget(const std::string& key) { operations_.erase(key); }
  static void assigned_class(bool ok);

 private:
  enum class Gauge : uint8_t { kTotal, kBoundVolume, kUnboundVolume, kBoundClaim, kUnboundClaim };
  struct Share {
    Gauge gauge;
    std::vector<std::string> labels;
  };
  using Shares = std::map<std::string, std::vector<Share>>;
  struct Operation {
    std::string plugin, name;
    TimePoint since;
  };
  void replace(Shares& all, const std::string& key, std::vector<Share> now);
  static void add(const Share& share, double d);
  Loop& loop_;
  Shares volumes_, claims_;
  std::map<std::string, Operation> operations_;
};

}  // namespace keles::controllers
