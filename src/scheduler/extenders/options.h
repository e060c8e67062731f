// `extenders` of a KubeSchedulerConfiguration. Certificates that it names by path are read at once,
// blocking. Errors name file, line and field.
#pragma once

#include <string>
#include <vector>

#include "base/status.h"
#include "machinery/config_file.h"
#include "scheduler/extenders/extender.h"

namespace keles::scheduler {

struct ExtenderConfig {
  std::vector<ExtenderOptions> extenders;
  std::vector<std::string> ignored_resources;  // which the extenders alone look after
};
Result<ExtenderConfig> read_extenders(const ConfigFile& file, const Value& list);

}  // namespace keles::scheduler
