/** The exit code of a daemon that found another one running. No failure: whoever started it connects to the other. */
export const ALREADY_RUNNING_EXIT_CODE = 75
