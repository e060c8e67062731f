#include "keles/log_flags.h"

#include "base/log.h"
#include "base/log_format.h"

namespace keles {

void LogFlags::add(Flags& f) {
  f.add("logging-format", &format, "Sets the log format. Permitted formats: \"json\", \"text\".");
  f.add("v", &verbosity, "number for the log level verbosity", 'v');
}

Status LogFlags::apply() const {
  TRY(log::set_format(format));
  log::set_verbosity(static_cast<int>(verbosity));
  return {};
}

}  // namespace keles
