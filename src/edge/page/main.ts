/** The page at `/`. */
export {}
