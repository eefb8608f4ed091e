// llama.cpp's own completion routes, /completion and /infill: JSON in, events out. api.md H.1.
#pragma once

#include <boost/json/object.hpp>
#include <memory>

#include "api/completion_writer.h"
#include "api/errors.h"
#include "api/openai_completions.h"

namespace quern::api {

// The model that the body names, or the first one: these routes need no name. body gets it as "model". Errors: 404.
ApiResult<std::shared_ptr<const ServedModel>> ReadModelOrFirst(boost::json::object& body, const ModelRegistry& models);

// body has "model". Errors: 400 naming the field.
ApiResult<CompletionRequest> ReadLlamaCppCompletion(const boost::json::object& body, const ServedModel& model,
                                                    const Limits& limits);
// The same with input_prefix, input_suffix, input_extra and prompt in place of a prompt. Control tokens inside these
// texts are plain text: files that mention them cannot end the prompt early.
ApiResult<CompletionRequest> ReadInfill(const boost::json::object& body, const ServedModel& model,
                                        const Limits& limits);

std::unique_ptr<CompletionWriter> NewLlamaCppWriter();

}  // namespace quern::api
