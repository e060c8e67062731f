// The node log query (KEP-2258): GET /logs/?query=SERVICE|FILE, when `enableSystemLogQuery` is on.
// Services' logs come from the journal, where there is one that knows them, else from files below
// the log directory. Nothing of a query is ever a shell's; names are of safe characters only.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/context.h"
#include "base/task.h"
#include "net/http.h"

namespace keles::node {

struct LogQuery {
  std::vector<std::string> services, files;
  std::optional<WallTime> since_time, until_time;
  std::optional<int64_t> tail_lines, boot;
  std::string pattern, since, until, format;
  bool case_sensitive = false;
  // Beside names: what files have no answer to.
  bool has_options() const;
};

// kBadRequest: what cannot be read at all.
Result<LogQuery> read_log_query(const std::vector<std::pair<std::string, std::string>>& query);
// kInvalid (answered with 406): what may not be asked. Pure, but for whether the file is there.
Status check_log_query(const LogQuery& query, const std::string& root);
// Without the program's name.
std::vector<std::string> journal_arguments(const LogQuery& query,
                                           const std::vector<std::string>& services);

// Of one that was checked. `root`: the log directory.
Task<void> serve_service_logs(Context ctx, net::Responder* responder, LogQuery query,
                              std::string root);

}  // namespace keles::node
