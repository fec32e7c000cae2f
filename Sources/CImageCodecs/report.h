// The caller's message buffer, shared by both codecs.
#ifndef VLM_REPORT_H
#define VLM_REPORT_H

#include <stdarg.h>
#include <stdio.h>

#include "CImageCodecs.h"

static inline void vlm_report_clear(vlm_image_report *report) {
    report->warnings = 0;
    report->message[0] = 0;
}

__attribute__((format(printf, 2, 3)))
static inline void vlm_report(vlm_image_report *report, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(report->message, report->capacity, format, arguments);
    va_end(arguments);
}

#endif
