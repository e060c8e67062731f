// /metrics/slis: how each health check came out when it was last looked at, and how often it came
// out how (KEP-3466). Any thread.
#pragma once

#include <string>

namespace keles::server {

// `type`: "healthz", "livez", "readyz".
void note_health(const std::string& name, const std::string& type, bool ok);
// In Prometheus' text form.
std::string slis_text();

}  // namespace keles::server
